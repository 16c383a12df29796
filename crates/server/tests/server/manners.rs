//! How CLIENT, SLOWLOG, COMMAND and CONFIG answer what is not quite right.

use resp::Value;

use crate::harness::{TestServer, bulk, simple};

#[test]
fn filters_of_clients_are_refused_as_redis_refuses_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    for (command, expected) in [
        ("CLIENT KILL ID 1 2", "ERR syntax error"),
        ("CLIENT LIST TYPE normal TYPE pubsub", "ERR syntax error"),
        ("CLIENT LIST ID 1 a", "ERR Invalid client ID"),
        ("CLIENT LIST ID a", "ERR Invalid client ID"),
        ("CLIENT KILL ID a", "ERR client-id should be greater than 0"),
        ("CLIENT KILL ID -1", "ERR client-id should be greater than 0"),
        ("CLIENT KILL ID 99 TYPE normal SKIPME x", "ERR syntax error"),
        ("SLOWLOG GET a", "ERR count should be greater than or equal to -1"),
        ("CLIENT PAUSE 9223372036854775808", "ERR timeout is not an integer or out of range"),
    ] {
        assert_eq!(a.error(command), expected, "{command}");
    }
    assert_eq!(a.text("CLIENT LIST ID 0"), "");
    assert_eq!(a.int("CLIENT KILL TYPE pubsub ID 99"), 0);
}

#[test]
fn a_pause_may_last_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    a.ok("CLIENT PAUSE 9223372036854775807 WRITE");
    b.post("SET k v");
    crate::harness::until("the write is held", || a.text("CLIENT LIST").contains(" flags=b "));
    a.ok("CLIENT UNPAUSE");
    assert_eq!(b.reply(), simple("OK"));
}

#[test]
fn a_subscriber_is_told_the_full_name_of_what_it_may_not_do() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    a.call("SUBSCRIBE x");
    assert!(a.error("CLIENT ID").starts_with("ERR Can't execute 'client|id': only "));
    assert!(a.error("CONFIG GET x").starts_with("ERR Can't execute 'config|get': only "));
    assert!(a.error("GET x").starts_with("ERR Can't execute 'get': only "));
}

#[test]
fn keys_are_not_made_up_where_their_number_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    for command in [
        "ZUNIONSTORE d 5 a b",
        "ZUNIONSTORE d a a b",
        "ZUNIONSTORE d 0 a b",
        "LMPOP 3 a LEFT",
        "ZUNION 2 a",
        "SINTERCARD x a",
        "BLMPOP 0 4 a b LEFT",
        "BLMPOP 0 -1 a LEFT",
    ] {
        let text = a.error(&format!("COMMAND GETKEYS {command}"));
        assert_eq!(text, "ERR Invalid arguments specified for command", "{command}");
    }
    assert_eq!(a.call("COMMAND GETKEYS ZUNIONSTORE d 2 a b"), Value::Array(vec![bulk("d"), bulk("a"), bulk("b")]));
}

#[test]
fn flags_of_keys_follow_the_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    for (command, flags) in [
        ("SET k b", "OW update"),
        ("SET k GET", "OW update"),
        ("SET k b GET", "RW access update"),
        ("SET k b get nx", "RW access update"),
        ("BITFIELD k", "RO access"),
        ("BITFIELD k GET u8 0", "RO access"),
        ("BITFIELD k OVERFLOW SAT GET u8 0", "RO access"),
        ("BITFIELD k OVERFLOW SAT", "RO access"),
        ("BITFIELD k SET u8 0 1", "RW access update"),
        ("BITFIELD k GET u8 0 INCRBY u8 0 1", "RW access update"),
        ("BITFIELD k GET u8 0 x", "RW access update"),
        ("BITFIELD_RO k GET u8 0", "RO access"),
    ] {
        let flags = Value::Array(flags.split(' ').map(simple).collect());
        let expected = Value::Array(vec![Value::Array(vec![bulk("k"), flags])]);
        assert_eq!(a.call(&format!("COMMAND GETKEYSANDFLAGS {command}")), expected, "{command}");
    }
}

#[test]
fn a_command_that_does_not_exist_is_null_in_command_info() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("redis.conf");
    std::fs::write(&file, "rename-command CONFIG cfg2\nrename-command GET \"\"\n").unwrap();
    let server = TestServer::with_file(dir.path(), Some(&file), &[]);
    let mut a = server.client();
    let Value::Array(found) = a.call("COMMAND INFO nosuch cfg2 config cfg2|get get get|x") else { panic!("no array") };
    let null = |at: usize| found[at] == Value::Null;
    assert_eq!((null(0), null(1), null(2), null(3), null(4), null(5)), (true, false, true, false, true, true));
    assert_eq!(a.error("COMMAND GETKEYS GET k"), "ERR Invalid command specified");
}

#[test]
fn a_string_that_append_makes_is_as_compact_as_one_of_set() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    let long = "x".repeat(45);
    for (key, value, encoding) in [("i", "12", "int"), ("e", "abc", "embstr"), ("r", &*long, "raw")] {
        assert_eq!(a.int(&format!("APPEND {key} {value}")), value.len() as i64);
        assert_eq!(a.text(&format!("OBJECT ENCODING {key}")), encoding);
        a.int(&format!("APPEND {key} 3"));
        assert_eq!(a.text(&format!("OBJECT ENCODING {key}")), "raw");
        assert_eq!(a.text(&format!("GET {key}")), format!("{value}3"));
    }
}

#[test]
fn what_is_not_to_be_ordered_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    a.call("RPUSH l 3 1 2");
    a.ok("MSET w_1 3 w_2 2 w_3 1");
    for (options, expected) in [
        ("BY nosort BY w_*", ["3", "1", "2"]),
        ("BY w_* BY nosort", ["3", "1", "2"]),
        ("BY w_*", ["3", "2", "1"]),
        ("BY nosort BY w_* DESC", ["2", "1", "3"]),
    ] {
        let expected = Value::Array(expected.map(bulk).to_vec());
        assert_eq!(a.call(&format!("SORT l {options}")), expected, "{options}");
    }
}

#[test]
fn settings_that_the_system_or_the_server_cannot_keep_are_bounded_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    let mut value = |set: &str, name: &str| {
        a.ok(&format!("CONFIG SET {set}"));
        a.call(&format!("CONFIG GET {name}")).as_slice().unwrap()[1].clone()
    };
    assert_eq!(value("hz 0", "hz"), bulk("1"));
    assert_eq!(value("hz 900", "hz"), bulk("500"));
    assert_eq!(value("hz 20", "hz"), bulk("20"));
    assert_eq!(value("maxclients 100", "maxclients"), bulk("100"));
    assert!(a.error("CONFIG SET hz -1").ends_with("argument must be between 0 and 2147483647 inclusive"));
    // No system opens so many files.
    let text = a.error("CONFIG SET maxclients 4294967295");
    let start = "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not able to \
                 handle the specified number of clients, try with ";
    assert!(text.strip_prefix(start).is_some_and(|number| number.parse::<u32>().is_ok()), "{text}");
    assert_eq!(a.info("clients")["maxclients"], "100");
    assert!(a.error("CONFIG SET port 1").contains("restart"));
    assert!(a.error("CONFIG SET maxmemory-policy allkeys-lru").contains("mode cache"));
    a.ok("SLAVEOF NO ONE");
    assert!(a.error("SLAVEOF 127.0.0.1 1").contains("REPLICAOF NO ONE"));
}
