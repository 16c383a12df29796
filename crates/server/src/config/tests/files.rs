//! Files, includes, flags, and what is said about those that are wrong.

use std::ffi::OsString;
use std::fs::write;
use std::path::Path;

use super::super::args::{Request, parse_args};
use super::super::{Config, ConfigError, Fsync, Invocation};

fn load(text: &str, flags: &[&str]) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("redis.conf");
    write(&file, text).unwrap();
    load_file(&file, flags)
}

fn load_file(file: &Path, flags: &[&str]) -> Result<Config, String> {
    let args = std::iter::once(file.as_os_str().to_owned()).chain(flags.iter().map(OsString::from));
    let Request::Serve(invocation) = parse_args(args) else { panic!("not a request to serve") };
    Config::load(&invocation).map_err(|e| e.to_string())
}

fn reason(text: &str, flags: &[&str]) -> String {
    load(text, flags).err().expect("it is wrong").lines().last().unwrap().to_owned()
}

fn get(config: &Config, name: &str) -> String {
    String::from_utf8(config.get(&[name.as_bytes()])[0].1.clone()).unwrap()
}

#[test]
fn the_last_line_wins_and_flags_win_over_the_file() {
    let config = load("# first\nport 1\n\n  PORT 2 \r\nmaxmemory 1gb\ntimeout 7", &["--maxmemory", "4gb"]).unwrap();
    assert_eq!(config.settings().network.port, 2);
    assert_eq!(config.settings().maxmemory, 4 << 30);
    assert_eq!(get(&config, "timeout"), "7");
}

#[test]
fn lines_that_add_up_do_and_the_first_one_replaces_the_default() {
    let config = load("save 900 1\nsave 300 10\nrename-command CONFIG \"\"\nrename-command get fetch\n", &[]).unwrap();
    assert_eq!(get(&config, "save"), "900 1 300 10");
    assert_eq!(
        config.settings().security.renamed_commands,
        [(b"config".to_vec(), b"".to_vec()), (b"get".to_vec(), b"fetch".to_vec())]
    );
    assert_eq!(get(&load("save 900 1\nsave \"\"\n", &[]).unwrap(), "save"), "");
    assert_eq!(get(&load("save \"900 1 60 5\"", &[]).unwrap(), "save"), "900 1 60 5");
    assert_eq!(get(&load("save 900 1", &["--save", ""]).unwrap(), "save"), "");
    let limits = "client-output-buffer-limit normal 1mb 0 0\nclient-output-buffer-limit replica 2mb 1mb 5\n";
    let limits = get(&load(limits, &[]).unwrap(), "client-output-buffer-limit");
    assert_eq!(limits, "normal 1048576 0 0 slave 2097152 1048576 5 pubsub 33554432 8388608 60");
}

#[test]
fn a_quoted_list_and_a_spread_list_are_the_same() {
    for text in ["bind 127.0.0.1 -::1", "bind \"127.0.0.1 -::1\""] {
        let config = load(text, &[]).unwrap();
        assert_eq!(get(&config, "bind"), "127.0.0.1 -::1");
        assert!(config.settings().network.bind[1].optional);
    }
    assert!(load("bind \"\"", &[]).unwrap().settings().network.bind.is_empty());
}

#[test]
fn includes_stand_where_they_are_and_globs_go_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    write(at("1-a.conf"), "port 1\ntimeout 1\n").unwrap();
    write(at("2-b.conf"), "port 2\n").unwrap();
    write(at(".hidden.conf"), "port 3\n").unwrap();
    let dir = directory.path().display();
    let main = at("main");
    write(&main, format!("port 9\ninclude {dir}/*.conf\ninclude {dir}/none-*\n")).unwrap();
    let config = load_file(&main, &[]).unwrap();
    assert_eq!(config.settings().network.port, 2);
    write(&main, format!("include {dir}/1-a.conf\nport 9\n")).unwrap();
    assert_eq!(load_file(&main, &[]).unwrap().settings().network.port, 9);
    write(&main, format!("include {dir}/[^1]-*.conf\n")).unwrap();
    assert_eq!(load_file(&main, &[]).unwrap().settings().network.port, 2);
}

#[test]
fn a_wrong_line_in_an_included_file_is_named_with_that_file() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner.conf");
    write(&inner, "port 1\nmaxmemory lots\n").unwrap();
    let error = load(&format!("include {}\n", inner.display()), &[]).err().unwrap();
    let expected = format!(
        "*** FATAL CONFIG FILE ERROR (Anabranch {}) ***\nReading the configuration file {}, at line 2\n\
         >>> 'maxmemory lots'\nargument must be a memory value",
        env!("CARGO_PKG_VERSION"),
        inner.display()
    );
    assert_eq!(error, expected);
}

#[test]
fn a_wrong_line_with_a_secret_is_not_quoted() {
    let error = load("requirepass my secret\n", &[]).err().unwrap();
    assert!(error.contains(">>> 'requirepass (not shown)'") && !error.contains("my secret"), "{error}");
    for line in ["masterauth \"my secret\n", "REQUIREPASS 'my secret\n", "user alice on >my secret\n"] {
        let error = load(line, &[]).err().unwrap();
        assert!(error.contains("(not shown)'") && !error.contains("my"), "{error}");
    }
}

#[test]
fn a_file_that_includes_itself_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("loop.conf");
    write(&file, format!("include {}\n", file.display())).unwrap();
    assert!(load_file(&file, &[]).err().unwrap().contains("include each other"));
}

#[test]
fn files_that_are_not_there_are_named() {
    let error = load_file(Path::new("/nowhere/redis.conf"), &[]).err().unwrap();
    assert!(error.starts_with("Fatal error, can't open config file '/nowhere/redis.conf': No such file"), "{error}");
    let error = load("include /nowhere/inner.conf\n", &[]).err().unwrap();
    assert!(error.contains("'/nowhere/inner.conf'"), "{error}");
}

#[test]
fn wrong_lines_say_what_redis_says() {
    for (text, expected) in [
        ("timeout", "wrong number of arguments"),
        ("timeout 1 2", "wrong number of arguments"),
        ("timeout x", "argument couldn't be parsed into an integer"),
        ("port 70000", "argument must be between 0 and 65535 inclusive"),
        ("timeout \"1", "Unbalanced quotes in configuration line"),
        ("save 900", "Invalid save parameters"),
        ("appendfsync sometimes", "argument(s) must be one of the following: everysec, always, no"),
        ("client-output-buffer-limit normal", "Wrong number of arguments in buffer limit configuration."),
        ("wholly-unknown 1", "Bad directive or wrong number of arguments"),
        ("maxmemroy 1", "Bad directive or wrong number of arguments. Did you mean 'maxmemory'?"),
        ("include", "wrong number of arguments"),
        ("rename-command FOO", "wrong number of arguments"),
    ] {
        assert_eq!(reason(text, &[]), expected, "{text}");
    }
}

#[test]
fn what_would_promise_something_untrue_stops_the_start() {
    for text in [
        "replicaof 10.0.0.1 6379",
        "slaveof 10.0.0.1 6379",
        "cluster-enabled yes",
        "user alice on >secret ~* +@all",
        "aclfile /etc/redis/users.acl",
        "loadmodule /x.so",
        "min-replicas-to-write 1",
        "tls-protocols TLSv1.1",
    ] {
        assert!(reason(text, &[]).contains(':'), "{text}: {}", reason(text, &[]));
    }
    assert!(load("replicaof no one\ncluster-enabled no\nmin-replicas-to-write 0\n", &[]).is_ok());
}

#[test]
fn a_wrong_flag_is_said_to_be_on_the_command_line() {
    let error = load("", &["--appendfsync", "never"]).err().unwrap();
    assert!(error.contains("\nReading the command line\n>>> 'appendfsync never'\n"), "{error}");
    let error = load("", &["stray"]).err().unwrap();
    assert!(error.contains(">>> 'stray'\nBad directive"), "{error}");
}

#[test]
fn only_what_was_changed_and_does_nothing_warns() {
    let config = load("hz 100\nappendonly no\nport 1\nrdbcompression yes\nsave 900 1\nhz 50\n", &[]).unwrap();
    let warnings = config.warnings();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(
        warnings
            .iter()
            .any(|w| w == "'appendonly' has no effect here: the log is always on: appendfsync says how durable it is")
    );
    assert!(load("", &[]).unwrap().warnings().is_empty());
}

#[test]
fn any_directive_is_a_flag() {
    let config = load("", &["--appendfsync", "always", "--bind", "::1", "127.0.0.1", "--rename-command", "DEL", ""]);
    let settings = config.unwrap().settings();
    assert_eq!(settings.persistence.appendfsync, Fsync::Always);
    assert_eq!(settings.network.bind.len(), 2);
    assert_eq!(settings.security.renamed_commands, [(b"del".to_vec(), vec![])]);
}

#[test]
fn nothing_said_means_the_defaults_and_no_file_to_rewrite() {
    let config = Config::load(&Invocation::default()).unwrap();
    assert!(config.file().is_none());
    assert_eq!(config.rewrite().unwrap_err().to_string(), "ERR The server is running without a config file");
    assert!(config.settings().persistence.dir.is_absolute());
}

#[test]
fn no_line_makes_the_loader_panic() {
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    let names: Vec<&str> = super::super::table::table().names().map(|(name, _)| name).collect();
    let line = (0..names.len(), "[ -~]{0,24}");
    let checked = TestRunner::new(ProptestConfig::with_cases(3_000)).run(&line, |(name, rest)| {
        if names[name] != "include" {
            match load(&format!("{} {rest}\n", names[name]), &[]) {
                Ok(config) => drop(config.get(&[b"*"])),
                Err(error) => prop_assert!(error.starts_with("*** FATAL CONFIG FILE ERROR"), "{}", error),
            }
        }
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn errors_carry_their_place() {
    let flags = vec![(b"port".to_vec(), vec![b"x".to_vec()])];
    let error = Config::load(&Invocation { flags, ..Invocation::default() }).err().unwrap();
    assert!(matches!(error, ConfigError::Line { place: super::super::Place::CommandLine, .. }));
}
