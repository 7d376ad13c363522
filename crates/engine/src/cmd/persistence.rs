//! Files of data: SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE. What they do is done by whoever keeps the data
//! ([`Persistence`]); an engine without such a keeper says so.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::config::host::Persistence;
use crate::context::command::{
    ADMIN, Command, FAST, Group, LOADING, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT, STALE, row,
};
use crate::context::ctx::Ctx;
use crate::table::categories::{CAT_ADMIN, CAT_DANGEROUS};
use std::sync::Arc;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("bgrewriteaof", 1, ADMIN | NOSCRIPT | NO_ASYNC_LOADING, Group::Server, "1.0.0", bgrewriteaof)
        .docs("Writes the append-only file anew, as short as it can be, in the background.", "O(1)"),
    row("bgsave", -1, ADMIN | NOSCRIPT | NO_ASYNC_LOADING, Group::Server, "1.0.0", bgsave)
        .args("[operation(SCHEDULE@3.2.2 | CANCEL@8.1.0)]")
        .history(&[("3.2.2", "Added the `SCHEDULE` option."), ("8.1.0", "Added the `CANCEL` option.")])
        .docs("Saves the data set to a file in the background.", "O(1)"),
    row("lastsave", 1, LOADING | STALE | FAST, Group::Server, "1.0.0", lastsave)
        .acl(CAT_ADMIN | CAT_DANGEROUS).tips(&["nondeterministic_output"])
        .docs("Returns the Unix time of the last successful save.", "O(1)"),
    row("save", 1, ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI, Group::Server, "1.0.0", save)
        .docs("Saves the data set to a file and answers when that is done.", "O(N), N being the number of keys in all databases"),
];

/// Who keeps the data.
fn keeper(ctx: &Ctx<'_>) -> Result<Arc<dyn Persistence>> {
    let keeper = ctx.engine.persistence().cloned();
    keeper.ok_or_else(|| Error::new("ERR this database is not kept in files"))
}

fn failed(text: String) -> Error {
    Error::new(format!("ERR {text}"))
}

fn save(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let keeper = keeper(ctx)?;
    ctx.offload(Box::new(move |out| match keeper.save() {
        Ok(()) => out.ok(),
        Err(text) => out.error(&format!("ERR {text}")),
    }));
    Ok(())
}

fn bgsave(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let keeper = keeper(ctx)?;
    if args.keyword("CANCEL") && args.left() == 0 {
        let text = keeper.cancel_save().map_err(failed)?;
        ctx.out.simple(text);
        return Ok(());
    }
    let schedule = args.keyword("SCHEDULE");
    args.finish()?;
    let text = keeper.save_in_background(schedule).map_err(failed)?;
    ctx.out.simple(text);
    Ok(())
}

fn bgrewriteaof(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let text = keeper(ctx)?.rewrite().map_err(failed)?;
    ctx.out.simple(text);
    Ok(())
}

fn lastsave(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let at = match ctx.engine.persistence() {
        Some(keeper) => keeper.last_save_s(),
        None => ctx.engine.started_s,
    };
    ctx.out.int(at as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::TestClient;

    #[test]
    fn who_keeps_nothing_says_so() {
        let mut db = TestClient::new();
        for command in ["SAVE", "BGSAVE", "BGSAVE SCHEDULE", "BGREWRITEAOF"] {
            db.check(command, "-ERR this database is not kept in files");
        }
        let started = db.engine.started_s.to_string();
        db.check("LASTSAVE", &started);
    }
}
