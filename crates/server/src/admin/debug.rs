//! DEBUG, as far as test suites and clients use it.
//!
//! DIFFERENCE: DEBUG SLEEP puts the client to sleep that asks for it, not the server.
//! DIFFERENCE: what would rebuild the data set in place (RELOAD, LOADAOF) is refused: restart the server for that.

use std::time::Duration;

use command::{errors, parse};
use engine::{AtRest, Context, Encoding, Lock, Recycled, ShardId, Stop, digest_value};
use resp::{Args, Protocol};

use super::Handlers;
use crate::front::Room;
use crate::net::{Flow, Turn};
use crate::session::{Session, ok, refuse};

/// The handlers of this family.
pub const HANDLERS: Handlers = &[("debug", debug)];

const FORBIDDEN: &str = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can \
     run it from a local connection, otherwise you need to set this option in the configuration file, and then restart \
     the server.";

const HELP: &[&str] = &[
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DIGEST",
    "    Returns a digest of all keys and values: equal for equal data.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Returns a digest of the value of each key.",
    "ERROR <text>",
    "    Replies with an error.",
    "LOG <text>",
    "    Writes a line to the server's log.",
    "OBJECT <key>",
    "    Returns how the value of a key is kept.",
    "PANIC",
    "    Ends the server as a defect of it would.",
    "PROTOCOL <type>",
    "    Replies with a value of the type.",
    "SET-ACTIVE-EXPIRE <0 | 1>",
    "    Stops or starts the reclaiming of expired keys; they stay hidden.",
    "SLEEP <seconds>",
    "    Replies after so many seconds.",
    "HELP",
    "    Prints this help.",
];

fn debug(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let name = args[1].to_ascii_lowercase();
    let allowed = room.node.config.settings().security.debug_command.permits(session.info.is_local());
    match (&name[..], args.len()) {
        (b"help", 2) => {
            let mut reply = session.reply(turn);
            reply.array(HELP.len());
            HELP.iter().for_each(|line| reply.simple(line));
        }
        _ if !allowed => return refuse(session, turn, FORBIDDEN),
        (b"sleep", 3) => return sleep(session, &args[2], turn),
        (b"digest", 2) => return digest(room, session, turn),
        (b"digest-value", 3..) => digest_values(room, session, args, turn),
        (b"object", 3..) => return object(room, session, &args[2], turn),
        (b"set-active-expire", 3) => {
            room.node.engine.set_reclaiming(&args[2] != b"0");
            return ok(session, turn);
        }
        (b"error", 3) => session.reply(turn).error(&args[2]),
        (b"log", 3) => {
            tracing::info!("DEBUG LOG: {}", String::from_utf8_lossy(&args[2]));
            return ok(session, turn);
        }
        (b"protocol", 3) => return protocol(session, &args[2], turn),
        (b"reload" | b"loadaof" | b"restart" | b"crash-and-recover", _) => {
            return refuse(session, turn, "ERR the data set cannot be loaded again in place; restart the server");
        }
        (b"panic", 2) => panic_as_asked(),
        (b"jmap" | b"segfault" | b"oom", _) => {
            return refuse(session, turn, "ERR this server has no such means of debugging");
        }
        (b"change-repl-id", _) => return refuse(session, turn, "ERR this version does not replicate"),
        _ => {
            let shown = String::from_utf8_lossy(&args[1][..args[1].len().min(128)]).into_owned();
            let text = format!("ERR unknown subcommand or wrong number of arguments for '{shown}'. Try DEBUG HELP.");
            return refuse(session, turn, text);
        }
    }
    Flow::Continue
}

fn sleep(session: &mut Session, seconds: &[u8], turn: &mut Turn<'_>) -> Flow {
    // As strtod would: what is no number is no time at all.
    let seconds = parse::float_opt(seconds).unwrap_or(0.0).max(0.0);
    match Duration::try_from_secs_f64(seconds).ok().and_then(|time| turn.now.mono.checked_add(time)) {
        None => refuse(session, turn, "ERR timeout is out of range"),
        Some(deadline) => {
            session.sleeping = true;
            Flow::Block { deadline: Some(deadline) }
        }
    }
}

/// Runs `look` on locked shards until nothing is missing.
fn look<R>(
    room: &Room,
    lock: Lock<'_>,
    session: &Session,
    turn: &Turn<'_>,
    look: impl Fn(&Context<'_>) -> Result<R, Stop>,
) -> Result<R, Stop> {
    let (mut recycled, mut at_rest) = (Recycled::new(), AtRest::default());
    let now_ms = turn.now.unix_ms as i64;
    loop {
        let mut context = room.node.engine.context(lock, session.db, now_ms, &mut recycled);
        context.know(&at_rest);
        context.state.set_touch(false);
        let result = look(&context);
        context.abort();
        match result {
            Err(Stop::Miss(miss)) => {
                room.node.engine.load(&miss, (session.db, now_ms), std::iter::empty(), &mut at_rest)?;
            }
            result => return result,
        }
    }
}

#[expect(clippy::panic, reason = "that is what was asked for")]
fn panic_as_asked() -> ! {
    panic!("DEBUG PANIC")
}

fn digest(room: &Room, session: &Session, turn: &mut Turn<'_>) -> Flow {
    match look(room, Lock::All, session, turn, |context| context.state.digest()) {
        Ok(digest) => session.reply(turn).simple(&digest.to_string()),
        Err(stop) => return refuse(session, turn, format!("ERR the data could not be read: {stop:?}")),
    }
    Flow::Continue
}

fn digest_values(room: &Room, session: &Session, args: Args<'_>, turn: &mut Turn<'_>) {
    let digests: Vec<String> = args
        .iter()
        .skip(2)
        .map(|key| {
            let shard = [room.node.engine.shard_of(key)];
            let now_ms = turn.now.unix_ms as i64;
            let found = look(room, Lock::Some(&shard), session, turn, |context| {
                Ok(context.state.whole_entry(key)?.map(|entry| digest_value(entry, now_ms).to_string()))
            });
            // Of no key, as Redis has it.
            found.ok().flatten().unwrap_or_else(|| "0".repeat(40))
        })
        .collect();
    let mut reply = session.reply(turn);
    reply.array(digests.len());
    digests.iter().for_each(|digest| reply.simple(digest));
}

/// What DEBUG OBJECT says.
struct Object {
    encoding: Encoding,
    bytes: usize,
    clock_s: u32,
}

fn object(room: &Room, session: &Session, key: &[u8], turn: &mut Turn<'_>) -> Flow {
    let shard: [ShardId; 1] = [room.node.engine.shard_of(key)];
    let found = look(room, Lock::Some(&shard), session, turn, |context| {
        Ok(context.state.entry(key)?.map(|entry| Object {
            encoding: entry.encoding(),
            bytes: entry.memory_bytes(),
            clock_s: entry.clock(),
        }))
    });
    match found {
        Ok(Some(Object { encoding, bytes, clock_s })) => {
            let idle = (turn.now.unix_ms / 1000).saturating_sub(u64::from(clock_s));
            // DIFFERENCE: values have no address that means anything; the length is that in memory.
            let text = format!(
                "Value at:0x0 refcount:1 encoding:{} serializedlength:{bytes} lru:{clock_s} lru_seconds_idle:{idle}",
                encoding.as_str(),
            );
            session.reply(turn).simple(&text);
            Flow::Continue
        }
        Ok(None) => refuse(session, turn, "ERR no such key"),
        Err(stop) => refuse(session, turn, format!("ERR the data could not be read: {stop:?}")),
    }
}

/// One value of each type, so that clients can test how they read it.
#[expect(clippy::approx_constant, reason = "the number that Redis sends is not meant to be pi")]
fn protocol(session: &Session, kind: &[u8], turn: &mut Turn<'_>) -> Flow {
    let resp3 = session.protocol == Protocol::Resp3;
    let mut reply = session.reply(turn);
    match kind.to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        b"double" => reply.double(3.141),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|i| reply.int(i));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|i| reply.int(i));
        }
        b"map" => {
            reply.map(3);
            for i in 0..3 {
                reply.int(i);
                reply.bool(i == 1);
            }
        }
        b"push" if resp3 => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
        }
        b"push" => reply.error("ERR RESP2 is not supported by this command"),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"true" => reply.bool(true),
        b"false" => reply.bool(false),
        b"verbatim" => reply.verbatim(*b"txt", b"This is a verbatim\nstring"),
        _ => reply.error(errors::SYNTAX_TEXT),
    }
    Flow::Continue
}
