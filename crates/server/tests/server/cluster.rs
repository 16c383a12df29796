//! Nodes that join, are forgotten, and what CLUSTER tells of them.

use crate::group::Group;
use crate::harness::{TestServer, bulk, free_port, simple, until};

#[test]
fn a_node_that_has_not_joined_yet_shows_no_data_and_can_be_led_to_its_group() {
    let mut group = Group::of(1, &[]);
    group.client(0).ok("SET k v");
    let nobody = format!("127.0.0.1:{}", free_port());
    group.add(&["--join", &nobody]);
    let mut stranger = group.client(1);
    for command in ["GET k", "SET k w", "DBSIZE", "KEYS *", "BLPOP list 0"] {
        let error = stranger.error(command);
        assert!(error.starts_with("BOOTSTRAPINCOMPLETE "), "{command}: {error}");
    }
    stranger.ok("MULTI");
    stranger.error("GET k");
    assert!(stranger.error("EXEC").starts_with("EXECABORT "));
    assert_eq!(stranger.call("PING"), simple("PONG"));
    assert_eq!(stranger.info("replication")["group_role"], "joining");
    assert!(stranger.text("CLUSTER INFO").starts_with("cluster_state:fail\r\n"));
    let id = stranger.text("CLUSTER MYID");
    assert_eq!(id, format!("{:012x}", group.server(1).node().engine.origin().node()));
    let nodes = stranger.text("CLUSTER NODES");
    assert!(nodes.starts_with(&format!("{id} 127.0.0.1:")) && nodes.contains(" myself,handshake - 0 0 "), "{nodes}");

    let port = group.port(0);
    stranger.ok(&format!("CLUSTER MEET 127.0.0.1 1 {port}"));
    group.until_whole();
    until("it has the data", || stranger.call("GET k") == bulk("v"));
    stranger.ok("SET k w");
    until("the other one has it", || group.client(0).text("GET k") == "w");
    assert!(stranger.text("CLUSTER INFO").starts_with("cluster_state:ok\r\n"));
    let nodes = stranger.text("CLUSTER NODES");
    assert_eq!(nodes.matches(" connected 0-16383\n").count(), 2, "{nodes}");
    assert!(nodes.contains(&format!("@{port} master - ")), "{nodes}");
}

#[test]
fn a_node_that_is_forgotten_takes_no_writes_and_says_why() {
    let group = Group::of(3, &[]);
    let (mut a, mut c) = (group.client(0), group.client(2));
    a.ok("SET k v");
    until("all have it", || c.call("GET k") == bulk("v"));
    let id = c.text("CLUSTER MYID");
    assert!(c.error(&format!("CLUSTER FORGET {id}")).starts_with("ERR I tried hard but I can't forget myself"));
    assert_eq!(a.error("CLUSTER FORGET 00000000cafe"), "ERR Unknown node 00000000cafe");
    assert_eq!(a.error("CLUSTER FORGET nonsense"), "ERR Unknown node nonsense");
    a.ok(&format!("CLUSTER FORGET {id}"));
    until("it was dropped", || c.info("replication")["group_role"] == "dropped");
    let error = c.error("SET k w");
    assert!(error.starts_with("BOOTSTRAPINCOMPLETE this node was dropped"), "{error}");
    assert_eq!(c.text("GET k"), "v", "what is there can be read");
    until("the others go on without it", || a.info("replication")["group_members"].matches(',').count() == 1);
    a.ok("SET k w");
    assert_eq!(a.int("WAIT 1 0"), 1);
    assert_eq!(group.client(0).int("WAIT 2 20"), 1, "who is no member does not count");
    assert_eq!(a.info("replication")["connected_slaves"], "1");
    let other = a.text("CLUSTER MYID");
    assert!(c.error(&format!("CLUSTER FORGET {other}")).starts_with("ERR "));
    assert_eq!(c.info("replication")["group_role"], "dropped");
}

/// Starts a node that was given up, and once more when it has given up its data.
fn come_back(group: &mut Group, n: usize) {
    group.stop(n);
    group.start(n);
    until("it has given up what it had", || group.server(n).node().starts_anew());
    group.stop(n);
    group.start(n);
    group.until_whole();
}

#[test]
fn a_node_that_wrote_alone_and_was_forgotten_comes_back_with_it() {
    let mut group = Group::of(3, &[]);
    let mut c = group.client(2);
    group.client(0).ok("SET k v");
    c.int("INCRBY counter 1");
    assert_eq!(c.int("WAIT 2 0"), 2);
    (0..2).for_each(|n| group.stop(n));
    for n in 0..50 {
        c.int("INCRBY counter 1");
        c.int(&format!("SADD set m{n}"));
        c.int(&format!("RPUSH list v{n}"));
    }
    c.ok("SET k alone");
    c.ok("SET own alone");
    let id = c.text("CLUSTER MYID");
    group.stop(2);
    (0..2).for_each(|n| group.start(n));
    let mut a = group.client(0);
    until("the two are together", || a.info("replication")["group_peers"] == "1");
    a.int("INCRBY counter 100");
    a.ok("SET k later");
    a.ok(&format!("CLUSTER FORGET {id}"));
    until("they go on without it", || a.info("replication")["group_members"].matches(',').count() == 1);
    come_back(&mut group, 2);
    let mut c = group.client(2);
    assert_eq!((c.text("GET counter").as_str(), c.text("GET own").as_str()), ("151", "alone"));
    assert_eq!((c.int("SCARD set"), c.int("LLEN list")), (50, 50));
    assert_eq!(c.text("GET k"), "later");
    let info = c.info("replication");
    assert_eq!((info["group_undelivered"].as_str(), info["group_superseded"].as_str()), ("0", "1"));
    let reports = group.server(2).node().member().unwrap().undone().since(0, 10);
    assert_eq!(reports.iter().map(|report| &report.keys[..]).collect::<Vec<_>>(), [&[(0, b"k".to_vec())][..]]);
    c.ok("SET k again");
    for n in 0..2 {
        until("all have all of it", || group.client(n).text("GET k") == "again");
        assert_eq!(group.client(n).text("GET counter"), "151");
        assert_eq!((group.client(n).int("SCARD set"), group.client(n).int("LLEN list")), (50, 50));
    }
}

#[test]
fn commands_about_the_group_are_refused_where_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    for command in ["MYID", "INFO", "NODES", "MEET h 1", "FORGET 1", "KEYSLOT k"] {
        assert_eq!(a.error(&format!("CLUSTER {command}")), "ERR This instance has cluster support disabled");
    }
    assert!(a.error("CLUSTER NONSENSE").starts_with("ERR unknown subcommand"));
}

#[test]
fn the_data_of_a_group_is_not_served_apart_from_it_unless_that_is_wanted() {
    let mut group = Group::of(1, &[]);
    group.client(0).ok("SET k v");
    group.stop(0);
    let dir = group.dir(0).to_owned();
    let error = TestServer::refusal(&dir, &[]);
    assert!(error.starts_with("this data belongs to a group of replicas"), "{error}");
    std::fs::remove_file(dir.join("membership")).unwrap();
    let server = TestServer::start(&dir, &[]);
    assert_eq!(server.client().text("GET k"), "v");
    assert!(!server.node().engine.is_replicating(), "nothing is kept for others");
}
