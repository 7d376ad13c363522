//! Functions: FCALL and FUNCTION.

use crate::base::args::Args;
use crate::base::clock::unix_ms;
use crate::base::error::{Error, Result};
use crate::base::glob;
use crate::bridge::run::{Call, Silent, keys_and_args, run};
use crate::cmd::command::help;
use crate::cmd::scripting::{flush_type, with_runner};
use crate::context::command::{
    ALLOW_BUSY, BY_NAME, Command, DENYOOM, Group, KS_ACCESS, KS_RO, KS_RW, KS_UPDATE, KeySpec,
    LOADING, MOVABLEKEYS, NO_MANDATORY_KEYS, NOSCRIPT, READONLY, RUNS_SCRIPT, SKIP_MONITOR, STALE,
    WRITE, container, row,
};
use crate::context::ctx::Ctx;
use crate::script::known::{LONG_SOURCE, Running, Slow, error_of};
use crate::script::libraries::{Clash, Function, Library, Set};
use lua::{Flags, LoadError};
use std::sync::Arc;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("fcall", -3, BY_NAME | RUNS_SCRIPT | NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLEKEYS,
            Group::Scripting, "7.0.0", fcall)
        .keys(&[KeySpec::numkeys(2, KS_RW | KS_ACCESS | KS_UPDATE)
                    .note("How keys are used is unknown, so the most is assumed: RW and update")])
        .args("function numkeys:int [key...] [arg...]")
        .docs("Calls a function.", "Depends on the function"),
    row("fcall_ro", -3, BY_NAME | RUNS_SCRIPT | READONLY | NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS
            | MOVABLEKEYS,
            Group::Scripting, "7.0.0", fcall_ro)
        .keys(&[KeySpec::numkeys(2, KS_RO | KS_ACCESS)
                    .note("How keys are used is unknown, so the most is assumed: RO and access")])
        .args("function numkeys:int [key...] [arg...]")
        .docs("Calls a function that only reads.", "Depends on the function"),
    container("function", Group::Scripting, "7.0.0", FUNCTION_COMMANDS)
        .docs("Holds the commands about functions.", "Depends on the subcommand"),
];

/// The subcommands of FUNCTION.
#[rustfmt::skip]
const FUNCTION_COMMANDS: &[Command] = &[
    row("function|delete", 3, WRITE | NOSCRIPT, Group::Scripting, "7.0.0", function_delete)
        .args("library-name")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs("Deletes a library and its functions.", "O(1)"),
    row("function|dump", 2, NOSCRIPT, Group::Scripting, "7.0.0", function_dump)
        .docs("Returns all libraries in serialized form.", "O(N), N being the number of functions"),
    row("function|flush", -2, WRITE | NOSCRIPT, Group::Scripting, "7.0.0", function_flush)
        .args("[flush-type(ASYNC | SYNC)]")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs("Deletes all libraries.", "O(N), N being the number of functions"),
    row("function|help", 2, LOADING | STALE, Group::Scripting, "7.0.0", help)
        .docs("Lists the subcommands of FUNCTION.", "O(1)"),
    row("function|kill", 2, NOSCRIPT | ALLOW_BUSY, Group::Scripting, "7.0.0", function_kill)
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
        .docs("Stops the function that is running.", "O(1)"),
    row("function|list", -2, NOSCRIPT, Group::Scripting, "7.0.0", function_list)
        .args("[LIBRARYNAME library-name-pattern] [WITHCODE]")
        .tips(&["nondeterministic_output_order"])
        .docs("Describes the libraries and their functions.",
              "O(N), N being the number of functions"),
    row("function|load", -3, WRITE | DENYOOM | NOSCRIPT, Group::Scripting, "7.0.0", function_load)
        .args("[REPLACE] function-code")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs("Creates a library from its source.", "O(1), leaving aside the time to compile it"),
    row("function|restore", -3, WRITE | DENYOOM | NOSCRIPT,
            Group::Scripting, "7.0.0", function_restore)
        .args("serialized-value [policy(FLUSH | APPEND | REPLACE)]")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs("Creates libraries from their serialized form.",
              "O(N), N being the number of functions"),
    row("function|stats", 2, NOSCRIPT | ALLOW_BUSY, Group::Scripting, "7.0.0", function_stats)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .docs("Tells which function is running, and what the engines hold.", "O(1)"),
];

fn fcall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    call(ctx, &args, false)
}

fn fcall_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    call(ctx, &args, true)
}

fn call(ctx: &mut Ctx<'_>, args: &Args<'_>, read_only: bool) -> Result {
    let engine = ctx.engine;
    with_runner(ctx, |ctx, runner| {
        let set = runner.libraries(&engine.scripts);
        let (library, function) = set
            .get(args.argv()[1])
            .ok_or_else(|| Error::new("ERR Function not found"))?;
        let bad_number = Error::new("ERR Bad number of keys provided");
        let (keys, rest) = keys_and_args(args, &bad_number)?;
        if read_only && !function.flags.contains(Flags::NO_WRITES) {
            return Err(Error::new(
                "ERR Can not execute a script with write flag using *_ro command.",
            ));
        }
        if !runner.vm.has_library(&library.name, library.version) {
            let loaded = runner
                .vm
                .load_library(&as_lua(library), &mut Silent::new(engine));
            if let Err(LoadError::Reply(line)) = loaded {
                return Err(error_of(line));
            }
        }
        let call = Call {
            is_function: true,
            name: &function.name,
            read_only: read_only || function.flags.contains(Flags::NO_WRITES),
            allow_oom: function.flags.contains(Flags::ALLOW_OOM),
            slow: &function.slow,
            argv: args.argv(),
        };
        run(ctx, runner, &call, &mut |vm, server, out| {
            let called = vm.call_function(&library.name, &function.name, keys, rest, server, out);
            called.unwrap_or_else(|| {
                out.error("ERR Function not found");
                Ok(lua::Ended::Reply)
            })
        })
    })
}

fn as_lua(library: &Library) -> lua::Library<'_> {
    lua::Library {
        name: &library.name,
        version: library.version,
        body: &library.source,
    }
}

/// Compiles a library and finds its functions. It is kept in the worker's state.
fn compile(ctx: &mut Ctx<'_>, source: &[u8]) -> Result<Library> {
    let engine = ctx.engine;
    let header = lua::shebang::library(source).map_err(error_of)?;
    let mut library = Library {
        name: header.name,
        version: engine.scripts.libraries.next_version(),
        source: source.to_vec(),
        functions: Vec::new(),
    };
    let specs = with_runner(ctx, |_, runner| {
        runner
            .vm
            .load_library(&as_lua(&library), &mut Silent::new(engine))
    });
    let specs = specs.map_err(|e| match e {
        LoadError::Reply(line) => error_of(line),
        LoadError::Abort => Error::INTERNAL,
    })?;
    library.functions = specs
        .into_iter()
        .map(|spec| Function {
            name: spec.name,
            description: spec.description,
            flags: spec.flags,
            slow: Slow::default(),
        })
        .collect();
    Ok(library)
}

fn clash(clash: Clash, library: &[u8], quoted: bool) -> Error {
    match clash {
        Clash::Library if quoted => Error::quoting("ERR Library '{}' already exists", &[library]),
        Clash::Library => Error::quoting("ERR Library {} already exists", &[library]),
        Clash::Function(name) => Error::quoting("ERR Function {} already exists", &[&name]),
    }
}

// ---- FUNCTION

fn function_load(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let argv = args.argv();
    let (source, options) = match argv[2..].split_last() {
        Some((source, options)) => (*source, options),
        None => return Err(Error::SYNTAX),
    };
    let mut replace = false;
    for option in options {
        if !option.eq_ignore_ascii_case(b"replace") {
            return Err(Error::quoting("ERR Unknown option given: {}", &[option]));
        }
        replace = true;
    }
    if source.len() >= LONG_SOURCE && ctx.moves_elsewhere() {
        return Ok(());
    }
    // A name that is taken is told of before anything of the library runs.
    let name = lua::shebang::library(source).map_err(error_of)?.name;
    if !replace && ctx.engine.scripts.libraries.current().has(&name) {
        return Err(clash(Clash::Library, &name, true));
    }
    let library = Arc::new(compile(ctx, source)?);
    let added = ctx
        .engine
        .scripts
        .libraries
        .update(|set| set.add(library.clone(), replace));
    added.map_err(|c| clash(c, &library.name, true))?;
    ctx.keys.count_changes(1);
    ctx.keys.record_command();
    ctx.out.bulk(&library.name);
    Ok(())
}

fn function_delete(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let name = args.argv()[2];
    ctx.engine.scripts.libraries.update(|set| {
        if set.remove(name) {
            Ok(())
        } else {
            Err(Error::new("ERR Library not found"))
        }
    })?;
    ctx.keys.count_changes(1);
    ctx.keys.record_command();
    ctx.out.ok();
    Ok(())
}

fn function_flush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    if args.argv().len() > 3 {
        return Err(Error::subcommand_syntax(args.argv()));
    }
    flush_type(&args, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option")?;
    ctx.engine.scripts.libraries.update(|set| {
        *set = Set::default();
        Ok::<(), Error>(())
    })?;
    ctx.keys.count_changes(1);
    ctx.keys.record_command();
    ctx.out.ok();
    Ok(())
}

fn function_kill(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.engine.scripts.kill(true)?;
    ctx.out.ok();
    Ok(())
}

fn function_list(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let (mut pattern, mut with_code) = (None, false);
    let mut rest = args.argv()[2..].iter();
    while let Some(word) = rest.next() {
        if word.eq_ignore_ascii_case(b"withcode") && !with_code {
            with_code = true;
        } else if word.eq_ignore_ascii_case(b"libraryname") && pattern.is_none() {
            let name = rest
                .next()
                .ok_or_else(|| Error::new("ERR library name argument was not given"))?;
            pattern = Some(*name);
        } else {
            return Err(Error::quoting("ERR Unknown argument {}", &[word]));
        }
    }
    let set = ctx.engine.scripts.libraries.current();
    let out = &mut *ctx.out;
    let start = out.begin_array();
    let mut n = 0;
    for library in set.libraries() {
        if pattern.is_some_and(|p| !glob::matches_ignore_case(p, &library.name)) {
            continue;
        }
        n += 1;
        out.map(3 + usize::from(with_code));
        out.bulk(b"library_name");
        out.bulk(&library.name);
        out.bulk(b"engine");
        out.bulk(b"LUA");
        out.bulk(b"functions");
        out.array(library.functions.len());
        for f in &library.functions {
            out.map(3);
            out.bulk(b"name");
            out.bulk(&f.name);
            out.bulk(b"description");
            match &f.description {
                Some(text) => out.bulk(text),
                None => out.null(),
            }
            out.bulk(b"flags");
            let names: Vec<&str> = f.flags.names().collect();
            out.set(names.len());
            for name in names {
                out.simple(name);
            }
        }
        if with_code {
            out.bulk(b"library_code");
            out.bulk(&library.source);
        }
    }
    out.end_array(start, n);
    Ok(())
}

fn function_stats(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let running = ctx.engine.scripts.longest();
    if running
        .as_deref()
        .is_some_and(|running| !running.is_function)
        && let Some(busy) = ctx.engine.busy(unix_ms())
    {
        return Err(busy);
    }
    let set = ctx.engine.scripts.libraries.current();
    let out = &mut *ctx.out;
    out.map(2);
    out.bulk(b"running_script");
    match running.as_deref() {
        None => out.null(),
        Some(Running {
            started_ms,
            name,
            command,
            ..
        }) => {
            out.map(3);
            out.bulk(b"name");
            out.bulk(name);
            out.bulk(b"command");
            out.array(command.len());
            command.iter().for_each(|arg| out.bulk(arg));
            out.bulk(b"duration_ms");
            out.int(unix_ms().saturating_sub(*started_ms) as i64);
        }
    }
    out.bulk(b"engines");
    out.map(1);
    out.bulk(b"LUA");
    out.map(2);
    out.bulk(b"libraries_count");
    out.int(set.len() as i64);
    out.bulk(b"functions_count");
    out.int(set.functions() as i64);
    Ok(())
}

fn function_dump(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let set = ctx.engine.scripts.libraries.current();
    let sources = set.libraries();
    let sources = sources.iter().map(|l| &l.source[..]);
    ctx.out.bulk(&rdb::payload::dump_functions(sources));
    Ok(())
}

fn function_restore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let (payload, policy) = match args.argv()[2..] {
        [payload] => (payload, &b"append"[..]),
        [payload, policy] => (payload, policy),
        _ => return Err(Error::subcommand_syntax(args.argv())),
    };
    if payload.len() >= LONG_SOURCE && ctx.moves_elsewhere() {
        return Ok(());
    }
    let is = |word: &[u8]| policy.eq_ignore_ascii_case(word);
    if !is(b"flush") && !is(b"append") && !is(b"replace") {
        return Err(Error::new(
            "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
        ));
    }
    let sources = rdb::payload::restore_functions(payload).map_err(|e| {
        Error::new(match e {
            rdb::payload::Refused::Footer => "ERR DUMP payload version or checksum are wrong",
            rdb::payload::Refused::Value(_) => "ERR given type is not a function",
        })
    })?;
    let mut libraries = Vec::new();
    for source in &sources {
        libraries.push(Arc::new(compile(ctx, source)?));
    }
    ctx.engine.scripts.libraries.update(|set| {
        if is(b"flush") {
            *set = Set::default();
        }
        // What is replaced goes first, all of it: a function may have moved from one library to another.
        for library in &libraries {
            if set.has(&library.name) && !is(b"replace") {
                return Err(clash(Clash::Library, &library.name, false));
            }
            set.remove(&library.name);
        }
        for library in &libraries {
            set.add(library.clone(), false)
                .map_err(|c| clash(c, &library.name, false))?;
        }
        Ok::<(), Error>(())
    })?;
    ctx.keys.count_changes(1);
    ctx.keys.record_command();
    ctx.out.ok();
    Ok(())
}
