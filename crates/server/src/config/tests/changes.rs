//! CONFIG SET: atomic, announced, refusable.

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::super::{Config, SetError, Veto};

fn config() -> Config {
    Config::defaults(Path::new("/base"))
}

fn value(config: &Config, name: &str) -> String {
    String::from_utf8(config.get(&[name.as_bytes()])[0].1.clone()).unwrap()
}

#[test]
fn one_wrong_pair_undoes_all() {
    let config = config();
    let version = config.version();
    let error = config.set(&[(b"timeout", b"5"), (b"maxmemory", b"lots")], true).unwrap_err();
    assert_eq!(error, SetError::Failed { name: "maxmemory".into(), reason: "argument must be a memory value".into() });
    assert_eq!(value(&config, "timeout"), "0");
    assert_eq!(config.version(), version);
}

#[test]
fn a_change_is_seen_in_the_next_snapshot_and_the_old_one_stays_as_it_was() {
    let config = config();
    let (before, version) = (config.settings(), config.version());
    assert_eq!(config.set(&[(b"TIMEOUT", b"5"), (b"maxclients", b"10000")], true), Ok(vec!["timeout"]));
    assert_eq!((before.network.timeout_s, config.settings().network.timeout_s), (0, 5));
    assert_ne!(config.version(), version);
}

#[test]
fn an_alias_sets_what_it_stands_for() {
    let config = config();
    assert_eq!(config.set(&[(b"hash-max-ziplist-value", b"1kb")], true), Ok(vec!["hash-max-listpack-value"]));
    assert_eq!(config.settings().compact.hash_max_value, 1024);
    assert_eq!(value(&config, "hash-max-ziplist-value"), "1024");
}

#[test]
fn listeners_hear_of_changes_only_and_before_anybody_sees_them() {
    let config = Arc::new(config());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (log, reader) = (heard.clone(), Arc::downgrade(&config));
    config.subscribe(move |changes| {
        let live = reader.upgrade().expect("the configuration is alive").settings();
        assert!(Arc::ptr_eq(&live, &changes.before));
        assert!(changes.touches(&["timeout"]) && !changes.touches(&["port"]));
        log.lock().unwrap().push((changes.names.clone(), changes.after.network.timeout_s));
        Ok(())
    });
    config.set(&[(b"timeout", b"0")], true).unwrap();
    config.set(&[(b"timeout", b"3")], true).unwrap();
    assert_eq!(*heard.lock().unwrap(), [(vec!["timeout"], 3)]);
}

#[test]
fn a_veto_turns_back_those_who_agreed_and_nothing_changes() {
    let config = config();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    config.subscribe(move |changes| {
        log.lock().unwrap().push((changes.before.network.port, changes.after.network.port));
        Ok(())
    });
    config
        .subscribe(|_| Err(Veto { name: "port", reason: "Unable to listen on this port. Check server logs.".into() }));
    let error = config.set(&[(b"port", b"7000"), (b"timeout", b"9")], true).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs."
    );
    assert_eq!(*seen.lock().unwrap(), [(6379, 7000), (7000, 6379)]);
    assert_eq!((value(&config, "port").as_str(), value(&config, "timeout").as_str()), ("6379", "0"));
}

#[test]
fn protected_directives_follow_enable_protected_configs() {
    use super::super::Invocation;
    let allow = |word: &str| {
        let flags = vec![(b"enable-protected-configs".to_vec(), vec![word.as_bytes().to_vec()])];
        Config::load(&Invocation { flags, ..Invocation::default() }).unwrap()
    };
    let dbfilename: &[(&[u8], &[u8])] = &[(b"dbfilename", b"x.rdb")];
    assert!(allow("no").set(dbfilename, true).unwrap_err().to_string().ends_with("can't set protected config"));
    assert!(allow("local").set(dbfilename, true).is_ok());
    assert!(allow("local").set(dbfilename, false).is_err());
    assert!(allow("yes").set(dbfilename, false).is_ok());
}

#[test]
fn names_that_only_a_file_knows_are_unknown_to_config() {
    let config = config();
    for name in ["include", "user", "rename-command", "loadmodule"] {
        let error = config.set(&[(name.as_bytes(), b"x")], true).unwrap_err();
        assert_eq!(error, SetError::Unknown(name.into()));
        assert!(config.get(&[name.as_bytes()]).is_empty());
    }
}

#[test]
fn get_keeps_the_order_of_the_names_and_says_each_once() {
    let config = config();
    let names = |patterns: &[&[u8]]| -> Vec<String> {
        config.get(patterns).into_iter().map(|(name, _)| String::from_utf8(name).unwrap()).collect()
    };
    assert_eq!(
        names(&[b"TimeOut", b"time*", b"hash-max-*-entries"]),
        ["TimeOut", "hash-max-listpack-entries", "hash-max-ziplist-entries"]
    );
    assert_eq!(names(&[b"key-load-delay"]), ["key-load-delay"]);
    assert!(!names(&[b"*"]).contains(&"key-load-delay".to_owned()));
    assert!(names(&[b"*"]).is_sorted());
    assert!(names(&[b"nothing", b""]).is_empty());
}
