//! The I/O loop with real sockets: rounds, blocking, mail, limits, shutdown.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::rig::{Client, Message, Rig, bulk, error, ok, pong};
use resp::{Value, write_command};
use server::net::{NetConfig, OutputLimit, SendError, Settings};

fn with(change: impl FnOnce(&mut Settings)) -> Rig {
    let mut config = NetConfig::default();
    change(&mut config.settings);
    Rig::start(config)
}

/// Small, reproducible random numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

#[test]
fn pipelines_cut_anywhere_are_answered_in_order() {
    let rig = Rig::simple();
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            match dice.below(5) {
                0 => {
                    stream.extend(b"PING\r\n");
                    expected.push(pong());
                }
                1 => {
                    let count = dice.below(300);
                    write_command(
                        &mut stream,
                        std::iter::once(&b"COUNT"[..]).chain(vec![&b"x"[..]; count]).collect::<Vec<_>>(),
                    );
                    expected.push(Value::Int(count as i64));
                }
                2 => stream.extend(b"\r\n*0\r\n"),
                kind => {
                    // Now and then far larger than any buffer of the loop.
                    let len = if kind == 3 && dice.below(40) == 0 { 3_000_000 } else { dice.below(20_000) };
                    let value = vec![b'a' + (len % 26) as u8; len];
                    write_command(&mut stream, [&b"ECHO"[..], &value]);
                    expected.push(bulk(value));
                }
            }
        }
        let mut client = rig.client();
        let mut writer = client.stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            let mut rest = &stream[..];
            while !rest.is_empty() {
                let most = if dice.below(3) == 0 { 200_000 } else { 700 };
                let cut = 1 + dice.below(most);
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                writer.write_all(piece).unwrap();
                rest = tail;
            }
        });
        for value in expected {
            assert_eq!(client.reply(), value);
        }
        sender.join().unwrap();
    }
}

#[test]
fn no_reply_leaves_before_the_end_of_its_round() {
    let rig = Rig::simple();
    let (mut one, mut two) = (rig.client(), rig.client());
    assert_eq!(one.say("PING"), pong());
    assert_eq!(two.say("PING"), pong());
    rig.world.change(|state| state.gate_closed = true);
    one.send(&[b"SET", b"k", b"v"]);
    rig.world.wait("the round ends", |state| state.at_gate);
    // Executed, and not acknowledged.
    assert_eq!(rig.world.state.lock().unwrap().values.get(&b"k"[..]), Some(&b"v".to_vec()));
    one.stream.set_nonblocking(true).unwrap();
    assert_eq!(one.stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    one.stream.set_nonblocking(false).unwrap();
    rig.world.change(|state| state.gate_closed = false);
    assert_eq!(one.reply(), ok());
}

#[test]
fn all_clients_that_are_ready_share_one_end_of_round() {
    let rig = Rig::simple();
    let mut clients: Vec<_> = (0..40).map(|_| rig.client()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.say("PING"), pong()));
    rig.world.change(|state| state.gate_closed = true);
    clients[0].send(&[b"PING"]);
    rig.world.wait("the round ends", |state| state.at_gate);
    // The thread is held up; meanwhile everybody else sends three commands.
    for client in &mut clients[1..] {
        client.stream.write_all(b"PING\r\nPING\r\nPING\r\n").unwrap();
    }
    rig.world.change(|state| {
        state.rounds.clear();
        state.gate_closed = false;
    });
    assert_eq!(clients[0].reply(), pong());
    for client in &mut clients[1..] {
        (0..3).for_each(|_| assert_eq!(client.reply(), pong()));
    }
    assert_eq!(rig.world.state.lock().unwrap().rounds, [1, 39 * 3]);
}

#[test]
fn replies_that_promise_too_much_are_taken_back_when_the_log_fails() {
    let rig = Rig::simple();
    let mut client = rig.client();
    assert_eq!(client.say("SET k v"), ok());
    rig.world.change(|state| state.log_broken = true);
    assert_eq!(client.say("SET k w"), error("MISCONF the log is broken"));
    assert_eq!(client.say("GET k"), bulk("w"));
    rig.world.change(|state| state.log_broken = false);
    assert_eq!(client.say("SET k x"), ok());
}

#[test]
fn a_blocked_client_waits_for_its_message_and_then_goes_on_in_order() {
    let rig = Rig::simple();
    let (mut blocked, mut other) = (rig.client(), rig.client());
    let id = blocked.id();
    blocked.stream.write_all(b"BLOCK\r\nECHO after\r\nBLOCK\r\nECHO last\r\n").unwrap();
    rig.wait_for("the client blocks", |totals| totals.blocked == 1);
    assert_eq!(other.say("PING"), pong());
    blocked.stream.set_nonblocking(true).unwrap();
    assert_eq!(blocked.stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    blocked.stream.set_nonblocking(false).unwrap();
    assert_eq!(other.say(&format!("WAKE {id} first")), Value::Int(1));
    assert_eq!(blocked.reply(), bulk("first"));
    assert_eq!(blocked.reply(), bulk("after"));
    rig.wait_for("the client blocks again", |totals| totals.blocked == 1);
    // What arrives while it is blocked runs afterwards.
    blocked.send(&[b"PING"]);
    let push = Message::Push(b"push".to_vec());
    rig.server.control().post().send(&rig.world.addr_of(id), push, 4).unwrap();
    assert_eq!(blocked.reply(), bulk("push"));
    assert_eq!(other.say(&format!("WAKE {id} second")), Value::Int(1));
    assert_eq!(blocked.reply(), bulk("second"));
    assert_eq!(blocked.reply(), bulk("last"));
    assert_eq!(blocked.reply(), pong());
    rig.wait_for("nobody is blocked", |totals| totals.blocked == 0);
}

#[test]
fn a_deadline_ends_the_wait_of_each_blocked_client_once() {
    let rig = Rig::simple();
    let mut clients: Vec<_> = (0..20).map(|_| rig.client()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.stream.write_all(format!("BLOCK {}\r\nPING\r\n", 1 + index % 7).as_bytes()).unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.reply(), Value::Null);
        assert_eq!(client.reply(), pong());
        assert_eq!(client.say("PING"), pong());
    }
}

#[test]
fn a_message_before_the_deadline_clears_it() {
    let rig = Rig::simple();
    let (mut blocked, mut other) = (rig.client(), rig.client());
    let id = blocked.id();
    blocked.send(&[b"BLOCK", b"300"]);
    rig.wait_for("the client blocks", |totals| totals.blocked == 1);
    other.say(&format!("WAKE {id} now"));
    assert_eq!(blocked.reply(), bulk("now"));
    blocked.send(&[b"BLOCK"]);
    rig.wait_for("the client blocks again", |totals| totals.blocked == 1);
    // Until long after the first deadline.
    let end = std::time::Instant::now() + Duration::from_millis(350);
    rig.world.wait("the deadline passes", |_| std::time::Instant::now() > end);
    other.say(&format!("WAKE {id} later"));
    assert_eq!(blocked.reply(), bulk("later"));
}

#[test]
fn a_blocked_client_that_goes_away_is_noticed_and_its_mail_refused() {
    let rig = Rig::simple();
    let mut blocked = rig.client();
    let id = blocked.id();
    let addr = rig.world.addr_of(id);
    blocked.send(&[b"BLOCK"]);
    rig.wait_for("the client blocks", |totals| totals.blocked == 1);
    drop(blocked);
    rig.world.wait("the client is gone", |state| state.disconnected == 1);
    rig.wait_for("nobody is counted", |totals| totals.clients == 0 && totals.blocked == 0);
    let sent = rig.server.control().post().send(&addr, Message::Kill, 0);
    assert_eq!(sent, Err(SendError::Gone));
}

#[test]
fn a_killed_client_is_closed_at_once_even_if_it_never_reads() {
    let rig = Rig::simple();
    let mut victim = rig.client();
    let addr = rig.world.addr_of(victim.id());
    victim.stream.write_all(&b"BIG 1000000\r\n".repeat(30)).unwrap();
    rig.world.wait("its output grows", |_| addr.gauge().output_bytes() > 1_000_000);
    rig.server.control().post().send(&addr, Message::Kill, 0).unwrap();
    rig.world.wait("the client is gone", |state| state.disconnected == 1);
}

#[test]
fn a_client_that_hangs_up_after_its_commands_gets_all_replies() {
    let rig = Rig::simple();
    let mut client = rig.client();
    client.stream.write_all(&b"BIG 100000\r\nPING\r\n".repeat(50)).unwrap();
    client.stream.shutdown(Shutdown::Write).unwrap();
    for _ in 0..50 {
        assert_eq!(client.reply(), bulk(vec![b'x'; 100_000]));
        assert_eq!(client.reply(), pong());
    }
    assert_eq!(client.try_reply(), None);
    rig.world.wait("the client is gone", |state| state.disconnected == 1);
}

#[test]
fn quit_replies_and_closes_and_die_closes_without_a_word() {
    let rig = Rig::simple();
    let mut client = rig.client();
    client.stream.write_all(b"PING\r\nQUIT\r\nPING\r\n").unwrap();
    assert_eq!(client.reply(), pong());
    assert_eq!(client.reply(), ok());
    assert_eq!(client.try_reply(), None);
    let mut client = rig.client();
    client.stream.write_all(b"PING\r\nDIE\r\nPING\r\n").unwrap();
    assert_eq!(client.try_reply(), None);
}

#[test]
fn a_reader_slower_than_its_hard_limit_is_closed_and_others_go_on() {
    let rig = with(|settings| settings.normal_output = OutputLimit { hard: 8 << 20, ..OutputLimit::NONE });
    let (mut slow, mut other) = (rig.client(), rig.client());
    let writer = slow.stream.try_clone().unwrap();
    // It may be closed before all is written.
    let sender = std::thread::spawn(move || (0..100).all(|_| (&writer).write_all(b"BIG 1000000\r\n").is_ok()));
    rig.wait_for("the slow client is closed", |totals| totals.output_buffer_closes == 1);
    assert_eq!(other.say("PING"), pong());
    sender.join().unwrap();
    let mut replies = 0;
    while slow.try_reply().is_some() {
        replies += 1;
    }
    assert!(replies < 100);
    assert_eq!(rig.server.control().totals().clients, 1);
}

#[test]
fn a_reader_over_its_soft_limit_for_too_long_is_closed() {
    let rig = with(|settings| {
        settings.normal_output = OutputLimit { hard: 0, soft: 1 << 20, soft_for: Duration::from_millis(1) };
    });
    let mut slow = rig.client();
    slow.stream.write_all(b"BIG 30000000\r\n").unwrap();
    rig.wait_for("the slow client is closed", |totals| totals.output_buffer_closes == 1);
}

#[test]
fn a_client_that_does_not_read_is_not_served_until_it_does_and_loses_nothing() {
    let rig = with(|settings| settings.max_unread_output = 4 << 20);
    let mut slow = rig.client();
    let addr = rig.world.addr_of(slow.id());
    slow.stream.write_all(&b"BIG 1000000\r\n".repeat(60)).unwrap();
    rig.world.wait("its output reaches the bound", |_| addr.gauge().output_bytes() > 4 << 20);
    let mut other = rig.client();
    for _ in 0..100 {
        assert_eq!(other.say("PING"), pong());
        assert!(addr.gauge().output_bytes() < 6 << 20, "{} bytes", addr.gauge().output_bytes());
    }
    for _ in 0..60 {
        assert_eq!(slow.reply(), bulk(vec![b'x'; 1_000_000]));
    }
    assert_eq!(slow.say("PING"), pong());
}

#[test]
fn mail_beyond_the_output_limit_closes_the_receiver_and_not_the_sender() {
    let rig = with(|settings| settings.normal_output = OutputLimit { hard: 1 << 20, ..OutputLimit::NONE });
    let mut slow = rig.client();
    let addr = rig.world.addr_of(slow.id());
    rig.world.change(|state| state.gate_closed = true);
    let mut other = rig.client();
    other.send(&[b"PING"]);
    rig.world.wait("the thread is held up", |state| state.at_gate);
    let post = rig.server.control().post();
    let refused = (0..200).map(|_| post.send(&addr, Message::Push(vec![b'm'; 10_000]), 10_000)).filter(Result::is_err);
    assert_eq!(refused.count(), 200 - (1 << 20) / 10_000);
    assert!(addr.gauge().mail_bytes() <= 1 << 20);
    rig.world.change(|state| state.gate_closed = false);
    assert_eq!(other.reply(), pong());
    rig.wait_for("the slow client is closed", |totals| totals.output_buffer_closes == 1 && totals.clients == 1);
    assert!(slow.stream.read_to_end(&mut Vec::new()).is_ok());
}

#[test]
fn garbage_gets_an_error_and_is_closed_and_others_go_on() {
    let rig = Rig::simple();
    let mut other = rig.client();
    let mut garbage = rig.client();
    garbage.stream.write_all(b"PING\r\n*1\r\n+oops\r\nPING\r\n").unwrap();
    assert_eq!(garbage.reply(), pong());
    assert_eq!(garbage.reply(), error("ERR Protocol error: expected '$', got '+'"));
    assert_eq!(garbage.try_reply(), None);
    let mut endless = rig.client();
    let writer = endless.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || while (&writer).write_all(&[b'z'; 4096]).is_ok() {});
    assert_eq!(endless.reply(), error("ERR Protocol error: too big inline request"));
    assert_eq!(endless.try_reply(), None);
    sender.join().unwrap();
    assert_eq!(other.say("PING"), pong());
    rig.wait_for("both are gone", |totals| totals.protocol_errors == 2 && totals.clients == 1);
}

#[test]
fn half_a_frame_holds_no_more_than_arrived_and_is_closed_at_the_query_buffer_limit() {
    let rig = with(|settings| settings.max_query_buffer = 1 << 20);
    let mut half = rig.client();
    let addr = rig.world.addr_of(half.id());
    let head = b"*2\r\n$4\r\nECHO\r\n$536870912\r\n";
    half.stream.write_all(head).unwrap();
    half.stream.write_all(&[b'x'; 100_000]).unwrap();
    rig.world.wait("it arrived", |_| addr.gauge().input_bytes() == head.len() + 100_000);
    let mut other = rig.client();
    assert_eq!(other.say("PING"), pong());
    let writer = half.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || while (&writer).write_all(&[b'x'; 4096]).is_ok() {});
    rig.wait_for("it is closed", |totals| totals.query_buffer_closes == 1 && totals.clients == 1);
    sender.join().unwrap();
    assert_eq!(other.say("PING"), pong());
}

#[test]
fn before_authentication_only_small_commands_are_taken() {
    let mut config = NetConfig::default();
    config.tcp.push(server::net::TcpEndpoint::plain(([127, 0, 0, 2], 0).into()));
    let rig = Rig::start(config);
    let connect = || Client::new(TcpStream::connect(rig.server.local_addrs()[1]).unwrap());
    let large = vec![b'x'; 20_000];
    assert_eq!(connect().call(&[b"ECHO", &large]), error("ERR Protocol error: unauthenticated bulk length"));
    assert_eq!(connect().call(&[&b"COUNT"[..]; 11]), error("ERR Protocol error: unauthenticated multibulk length"));
    // In the same pipeline, the right takes effect at once.
    let mut client = connect();
    let mut stream = b"AUTH\r\n".to_vec();
    write_command(&mut stream, [&b"ECHO"[..], &large]);
    client.stream.write_all(&stream).unwrap();
    assert_eq!(client.reply(), ok());
    assert_eq!(client.reply(), bulk(&large));
}

#[test]
fn clients_beyond_maxclients_are_told_and_turned_away() {
    let rig = with(|settings| settings.max_clients = 3);
    let mut clients: Vec<_> = (0..3).map(|_| rig.client()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.say("PING"), pong()));
    let mut late = rig.client();
    assert_eq!(late.reply(), error("ERR max number of clients reached"));
    assert_eq!(late.try_reply(), None);
    assert_eq!(rig.server.control().totals().rejected, 1);
    clients.pop();
    rig.wait_for("one has left", |totals| totals.clients == 2);
    assert_eq!(rig.client().say("PING"), pong());
    rig.server.control().change_settings(|settings| settings.max_clients = 10);
    let mut more: Vec<_> = (0..4).map(|_| rig.client()).collect();
    more.iter_mut().for_each(|client| assert_eq!(client.say("PING"), pong()));
}

#[test]
fn a_client_that_sends_nothing_is_closed_after_the_timeout_unless_it_is_blocked_or_subscribed() {
    let rig = with(|settings| settings.idle_timeout = Some(Duration::from_millis(1)));
    let (mut blocked, mut subscribed, mut idle) = (rig.client(), rig.client(), rig.client());
    blocked.stream.write_all(b"ID\r\nBLOCK\r\n").unwrap();
    subscribed.send(&[b"SUBSCRIBE"]);
    let id = blocked.reply().as_int().unwrap();
    assert_eq!(subscribed.reply(), ok());
    assert_eq!(idle.try_reply(), None);
    assert_eq!(rig.server.control().totals().idle_closes, 1);
    rig.server.control().change_settings(|settings| settings.idle_timeout = None);
    let mut other = rig.client();
    assert_eq!(other.say(&format!("WAKE {id} still-here")), Value::Int(1));
    assert_eq!(blocked.reply(), bulk("still-here"));
    assert_eq!(other.say("PUBLISH news"), ok());
    assert_eq!(subscribed.reply(), bulk("news"));
}

#[test]
fn clients_spread_evenly_over_threads_and_mail_reaches_all() {
    let rig = Rig::start(NetConfig { io_threads: 3, ..NetConfig::default() });
    let mut clients: Vec<_> = (0..12).map(|_| rig.client()).collect();
    for client in &mut clients {
        assert_eq!(client.say("SUBSCRIBE"), ok());
    }
    assert_eq!(rig.server.control().clients_per_thread(), [4, 4, 4]);
    // The places that become free are filled first.
    let on_thread_1 = |clients: &mut Vec<Client<TcpStream>>| {
        clients.iter_mut().position(|client| {
            let id = client.id();
            rig.world.addr_of(id).thread().0 == 1
        })
    };
    for _ in 0..2 {
        let index = on_thread_1(&mut clients).unwrap();
        clients.remove(index);
    }
    rig.wait_for("two have left", |totals| totals.clients == 10);
    for _ in 0..2 {
        let mut client = rig.client();
        assert_eq!(client.say("SUBSCRIBE"), ok());
        clients.push(client);
    }
    assert_eq!(rig.server.control().clients_per_thread(), [4, 4, 4]);
    let mut publisher = rig.client();
    for message in ["one", "two", "three"] {
        assert_eq!(publisher.say(&format!("PUBLISH {message}")), ok());
    }
    for client in &mut clients {
        for message in ["one", "two", "three"] {
            assert_eq!(client.reply(), bulk(message));
        }
    }
}

#[test]
fn mail_from_many_threads_arrives_complete_and_in_order_per_sender() {
    let rig = Rig::start(NetConfig { io_threads: 2, ..NetConfig::default() });
    let mut client = rig.client();
    let addr = rig.world.addr_of(client.id());
    std::thread::scope(|scope| {
        for sender in 0..4u8 {
            let (addr, post) = (addr.clone(), rig.server.control().post().clone());
            scope.spawn(move || {
                for number in 0..2000u32 {
                    let message = Message::Push([&[sender][..], &number.to_be_bytes()].concat());
                    post.send(&addr, message, 5).unwrap();
                }
            });
        }
        let mut next = [0u32; 4];
        for _ in 0..8000 {
            let Value::Bulk(bytes) = client.reply() else { panic!("a push") };
            let number = u32::from_be_bytes(bytes[1..].try_into().unwrap());
            assert_eq!(number, next[usize::from(bytes[0])]);
            next[usize::from(bytes[0])] += 1;
        }
    });
    assert_eq!(addr.gauge().mail_bytes(), 0);
}

#[test]
fn stopping_sends_what_is_due_and_accepts_nobody_else() {
    let rig = Rig::simple();
    let addr = rig.addr();
    let mut client = rig.client();
    let gauge = rig.world.addr_of(client.id());
    client.stream.write_all(b"BIG 20000000\r\n").unwrap();
    rig.world.wait("the reply waits", |_| gauge.gauge().output_bytes() > 0);
    rig.server.control().stop();
    let reader = std::thread::spawn(move || (client.reply(), client.try_reply()));
    let Rig { server, world } = rig;
    server.join();
    assert_eq!(reader.join().unwrap(), (bulk(vec![b'x'; 20_000_000]), None));
    assert_eq!(world.state.lock().unwrap().disconnected, 1);
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn time_passes_for_the_application_while_nobody_sends() {
    let rig = Rig::simple();
    rig.world.wait("ticks", |state| state.ticks >= 3);
}
