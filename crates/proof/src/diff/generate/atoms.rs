//! Random arguments by kind. Spaces are tiny, so that keys, members and values collide; edges come often.

use crate::rng::Rng;

const STRINGS: &[&[u8]] = &[b"s0", b"s1", b"s2", b"", b"bin\x00\xff", b"{tag}s"];
const LISTS: &[&[u8]] = &[b"l0", b"l1", b"l2", b"{tag}l"];
const HASHES: &[&[u8]] = &[b"h0", b"h1", b"h2"];
const SETS: &[&[u8]] = &[b"t0", b"t1", b"t2", b"{tag}t"];
const ZSETS: &[&[u8]] = &[b"z0", b"z1", b"z2"];
/// Sorted sets in which every score is 0; no other kind of argument names them.
pub const LEXICAL: &[&[u8]] = &[b"x0", b"x1"];
const WEIGHTS_OF_SORT: &[&[u8]] = &[b"w_a", b"w_1", b"w_2", b"none"];

const MEMBERS: &[&[u8]] =
    &[b"a", b"b", b"c", b"d", b"A", b"1", b"2", b"10", b"-3", b"1.5", b"", b"\x00\xff", b"aa", b"ab"];
const VALUES: &[&[u8]] = &[
    b"hello",
    b"world",
    b"0",
    b"1",
    b"-1",
    b"10",
    b"007",
    b"3.25",
    b"-0.5",
    b"1e3",
    b"",
    b" 5",
    b"5 ",
    b"\x00\x01\xfe\xff",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"abcabcabc",
    b"ohmytext",
    b"mynewtext",
    b"foobar",
];
/// Never an offset that would be valid and huge, nor a negative count that asks for billions of random members.
const JUNK: &[&[u8]] = &[
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"4294967296",
    b"-1",
    b"0",
    b"1e3",
    b"0x10",
    b" 1",
    b"1 ",
    b"+1",
    b"-0",
    b"01",
    b"3.0",
    b"1.5",
    b"",
    b"nan",
    b"inf",
    b"-inf",
    b"\x00",
    b"\xff\r\n",
    b"abc",
    b"NX",
    b"(",
    b"(1",
    b"[a",
    b"-",
    b"+",
    b"*",
    b"LIMIT",
    b"COUNT",
    b"u64",
    b"i65",
];

/// Appends the arguments of `kind`. In a transaction (`multi`) timeouts may be endless, since nothing waits there.
pub fn emit(rng: &mut Rng, kind: &str, multi: bool, out: &mut Vec<Vec<u8>>) {
    if let Some(of) = kind.strip_prefix("keys:") {
        let n = rng.between(1, 3);
        let said = if rng.one_in(25) { junk(rng) } else { n.to_string().into_bytes() };
        out.push(said);
        (0..n).for_each(|_| out.push(key(rng, of)));
        return;
    }
    out.push(one(rng, kind, multi));
}

/// Something that hardly ever fits.
pub fn junk(rng: &mut Rng) -> Vec<u8> {
    rng.pick(JUNK).to_vec()
}

/// Asks for every key, which makes Redis notice the expired ones: until then its DBSIZE counts them.
pub fn sweep() -> Vec<Vec<u8>> {
    let keys = [STRINGS, LISTS, HASHES, SETS, ZSETS, WEIGHTS_OF_SORT, JUNK, MEMBERS].concat();
    std::iter::once(&b"EXISTS"[..]).chain(keys).map(<[u8]>::to_vec).collect()
}

fn key(rng: &mut Rng, kind: &str) -> Vec<u8> {
    if kind == "x" {
        return rng.pick(LEXICAL).to_vec();
    }
    let pool = match kind {
        "s" => STRINGS,
        "l" => LISTS,
        "h" => HASHES,
        "t" => SETS,
        "z" => ZSETS,
        "c" => *rng.pick(&[LISTS, SETS, ZSETS]),
        _ => *rng.pick(&[STRINGS, LISTS, HASHES, SETS, ZSETS, WEIGHTS_OF_SORT]),
    };
    let pool = if rng.one_in(15) { *rng.pick(&[STRINGS, LISTS, HASHES, SETS, ZSETS]) } else { pool };
    rng.pick(pool).to_vec()
}

fn text(rng: &mut Rng, choices: &[&str]) -> Vec<u8> {
    rng.pick(choices).as_bytes().to_vec()
}

fn one(rng: &mut Rng, kind: &str, multi: bool) -> Vec<u8> {
    match kind {
        "k" | "s" | "l" | "h" | "t" | "z" | "c" | "x" => key(rng, kind),
        "v" => value(rng),
        "e" | "m" | "fd" => rng.pick(MEMBERS).to_vec(),
        "mm" => format!("m{}", rng.below(400)).into_bytes(),
        "num" => (rng.below(100_000) as i64 - 50_000).to_string().into_bytes(),
        "junk" => junk(rng),
        "db" => text(rng, &["0", "1", "2", "0", "1", "2", "-1", "16", "x"]),
        "type" => text(rng, &["string", "list", "hash", "set", "zset", "stream", "HASH", "nope"]),
        "pat" => {
            text(rng, &["*", "s*", "?1", "[a-m]*", "[^a]*", "*\\*", "", "m1*", "*a*", "{tag}*", "[", "h[01]", "\\a"])
        }
        "bypat" => text(rng, &["w_*", "nosort", "h0->a", "none_*", "h*->b", "w_*"]),
        "getpat" => text(rng, &["#", "w_*", "h0->a", "none_*", "h*->*"]),
        "bft" => {
            text(rng, &["u1", "u4", "i5", "u8", "i8", "i16", "u31", "u63", "i64", "i1", "U8", "u64", "i65", "u0", "x8"])
        }
        "bfo" => text(rng, &["0", "1", "7", "8", "33", "#0", "#1", "#3", "100", "-1", "#-1", "4294967296", "x"]),
        "bit" => text(rng, &["0", "1", "0", "1", "0", "1", "2", "-1", "x"]),
        "to" if multi => text(rng, &["0", "0.001", "-1", "abc"]),
        "to" => text(rng, &["0.001", "0.002", "0.001", "-1", "abc"]),
        _ => numeric(rng, kind),
    }
}

fn value(rng: &mut Rng) -> Vec<u8> {
    match rng.below(20) {
        0 => b"x".repeat(rng.between(60, 70)),
        1 => b"long ".repeat(rng.between(20, 60)),
        2..=5 => rng.below(100).to_string().into_bytes(),
        _ => rng.pick(VALUES).to_vec(),
    }
}

/// Relative times are far apart from each other, so that a millisecond between the servers decides nothing; absolute ones
/// are long past or in a far century.
fn numeric(rng: &mut Rng, kind: &str) -> Vec<u8> {
    let choices: &[&str] = match kind {
        "n" => &["1", "2", "-1", "10", "-7", "100", "0", "9223372036854775807", "-9223372036854775808", "255", "x"],
        "f" => &["1.5", "-0.25", "2", "0", "10", "3.125", "1e2", "-1e-2", "0.1", "inf", "nan", "x"],
        "i" => &["0", "1", "2", "3", "-1", "-2", "-3", "5", "100", "-100", "7", "9223372036854775807", "x"],
        "cnt" => &["0", "1", "2", "3", "-1", "-2", "10", "1000", "x"],
        "rcnt" => &["0", "1", "2", "3", "10", "-1", "-3", "-10", "1000", "x"],
        "pos" => &["1", "2", "3", "10", "0", "-1"],
        // Nothing beyond a double's range: Redis keeps the ERANGE of such a score and fails a later SORT with it.
        "sc" => &["0", "1", "2", "-1", "1.5", "2.25", "-0.5", "inf", "-inf", "1e10", "3", "3", "-0", "0.1", "nan", "x"],
        "min" => &["-inf", "+inf", "0", "1", "2", "(1", "(2", "1.5", "(-inf", "-1", "3", "(x", "x", "1e3"],
        "lex" => &["-", "+", "[a", "(a", "[b", "(c", "[", "(", "[m2", "(m1", "[1", "a", ""],
        "w" => &["1", "2", "0", "-1", "0.5", "inf", "x"],
        "boff" => &["0", "1", "7", "8", "9", "63", "64", "100", "1000", "2047", "-1", "4294967296", "x"],
        "roff" => &["0", "1", "2", "5", "20", "100", "-1", "536870912", "x"],
        "ttl" => &["1000", "5000", "20000", "100000", "0", "-1", "9223372036854775807", "-9223372036854775808", "x"],
        "ttlms" => &["1000000", "5000000", "20000000", "100000000", "0", "-1", "9223372036854775807", "x"],
        "at" => &["33177117420", "33177117421", "1", "0", "-1", "9223372036854775807", "x"],
        "atms" => &["33177117420123", "33177117421000", "1", "0", "-1", "9223372036854775807", "x"],
        other => return format!("<{other}>").into_bytes(),
    };
    text(rng, choices)
}
