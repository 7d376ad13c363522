# The server in a container: docker build -t redpoll . && docker run -p 6379:6379 -v redpoll:/data redpoll
FROM rust:1-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package redpoll-cli && strip target/release/redpoll

FROM debian:bookworm-slim
RUN groupadd --system --gid 999 redpoll && useradd --system --uid 999 --gid redpoll --home-dir /data redpoll \
    && mkdir /data && chown redpoll:redpoll /data
COPY --from=build /src/target/release/redpoll /usr/local/bin/redpoll
COPY --from=build /src/LICENSE-MIT /src/LICENSE-APACHE /usr/share/doc/redpoll/
USER redpoll
WORKDIR /data
VOLUME /data
EXPOSE 6379
# The address of the container is its own: who may reach it is for whoever runs it to say. Signals reach the server itself.
ENTRYPOINT ["redpoll", "--bind", "*", "-::*", "--protected-mode", "no", "--dir", "/data"]
