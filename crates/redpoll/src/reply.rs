//! Replies of commands, on their way to the types that calls return.

use crate::bytes::Bytes;
use crate::error::{Error, ErrorKind, Result};
use crate::value::Value;
use resp::Out;

/// Takes the reply out of where commands write it; None if there is none.
pub(crate) fn reply_of(out: &mut Out) -> Result<Option<Value>> {
    let reply = match out.as_bytes() {
        Some(bytes) => resp::decode(bytes),
        None => resp::decode(&out.to_vec()),
    };
    out.clear();
    match reply {
        Ok(Some((resp::Value::Error(line), _))) => Err(Error::new(line)),
        Ok(reply) => Ok(reply.map(|(value, _)| Value::of_reply(value))),
        Err(e) => Err(Error::of(
            ErrorKind::Internal,
            format!("ERR a malformed reply: {e}"),
        )),
    }
}

#[cold]
pub(crate) fn closed() -> Error {
    Error::of(ErrorKind::Closed, "ERR the connection is closed")
}

/// A reply of another kind than was asked for.
#[cold]
pub(crate) fn unexpected(value: &Value) -> Error {
    const SHOWN: usize = 200;
    let mut shown = format!("{value:?}");
    if let Some((end, _)) = shown.char_indices().nth(SHOWN) {
        shown.truncate(end);
        shown.push_str("...");
    }
    Error::of(
        ErrorKind::Decode,
        format!("ERR the reply is not of the type that was asked for: {shown}"),
    )
}

/// A reply that is a whole number.
pub(crate) fn to_int(value: Value) -> Result<i64> {
    match value {
        Value::Int(n) => Ok(n),
        other => Err(unexpected(&other)),
    }
}

/// A reply that is a string, or nothing.
pub(crate) fn to_bytes(value: Value) -> Result<Option<Bytes>> {
    match value {
        Value::Null => Ok(None),
        Value::Bulk(bytes) => Ok(Some(bytes.into())),
        other => Err(unexpected(&other)),
    }
}
