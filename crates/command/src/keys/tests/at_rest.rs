//! Keys that are at rest only when they are asked for.

use crate::harness::Harness;

#[test]
fn keys_at_rest_are_brought_in_for_whoever_keeps_the_session() {
    let mut bench = Harness::new();
    bench.expect("SET there 1", "OK");
    bench.reopen();
    assert_eq!(bench.engine().residency_figures().cold_keys, 1);
    let keys: [&[u8]; 2] = [b"there", b"elsewhere"];
    let found = bench.executor().with_keys(&keys, 0, 1_700_000_000_000, |context| {
        keys.iter().map(|key| context.state.exists(key)).collect::<Result<Vec<_>, _>>()
    });
    assert_eq!(found, Ok(vec![true, false]));
}

#[test]
fn sort_looks_up_more_keys_at_rest_than_it_may_be_run_again() {
    const MANY: usize = 11_000;
    let mut bench = Harness::new();
    let words = |name: &str, each: &dyn Fn(usize) -> Vec<String>| {
        let words = name.split(' ').map(str::to_owned).chain((0..MANY).flat_map(each));
        words.map(String::into_bytes).collect::<Vec<_>>()
    };
    bench.run_words(&words("RPUSH list", &|n| vec![n.to_string()]));
    bench.run_words(&words("MSET", &|n| vec![format!("weight:{n}"), (MANY - n).to_string()]));
    bench.run_words(&words("MSET", &|n| vec![format!("name:{n}"), format!("name {n}")]));
    bench.reopen();
    assert_eq!(bench.engine().residency_figures().cold_keys, 2 * MANY as u64 + 1);
    bench.expect("SORT list BY weight:* GET name:* LIMIT 0 2", "[name 10999 name 10998]");
    assert_eq!(bench.run("SORT list BY weight:* GET name:* STORE to"), resp::Value::Int(MANY as i64));
    assert_eq!(bench.engine().residency_figures().cold_keys, 0);
}
