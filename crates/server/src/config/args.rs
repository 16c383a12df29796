//! The arguments of `serve`: `[redis.conf] [-] [--directive value ...]`, as redis-server reads them.
//!
//! The first argument is a file unless it begins with a dash; a last argument `-` reads standard input. A flag takes
//! at least one value, even one that begins with dashes, and then all that follow up to the next flag. `--save` may
//! come without a value. `--directive=value` and `'--directive value'` are understood too.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::table::table;
use super::words::split_line;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
    /// Serve.
    Serve(Invocation),
}

/// Where the configuration comes from. Later sources win: file, standard input, flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// The file.
    pub file: Option<PathBuf>,
    /// Whether to read standard input.
    pub stdin: bool,
    /// The flags without their dashes, with their values.
    pub flags: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
}

/// Reads the arguments that follow `serve`.
#[must_use]
pub fn parse_args(args: impl IntoIterator<Item = OsString>) -> Request {
    let args: Vec<Vec<u8>> = args.into_iter().map(OsString::into_vec).collect();
    match args.first().map(Vec::as_slice) {
        Some(b"-h" | b"--help") => return Request::Help,
        Some(b"-v" | b"-V" | b"--version") => return Request::Version,
        _ => {}
    }
    let mut invocation = Invocation::default();
    let mut rest = args.as_slice();
    if let [first, others @ ..] = rest
        && first.first() != Some(&b'-')
    {
        invocation.file = Some(PathBuf::from(OsString::from_vec(first.clone())));
        rest = others;
    }
    if let [others @ .., last] = rest
        && last == b"-"
    {
        invocation.stdin = true;
        rest = others;
    }
    invocation.flags = flags(rest);
    Request::Serve(invocation)
}

fn flags(args: &[Vec<u8>]) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
    let mut flags: Vec<(Vec<u8>, Vec<Vec<u8>>)> = Vec::new();
    let mut wants_value = false;
    for arg in args {
        let is_flag = arg.starts_with(b"--");
        // An empty list is what a shell array without elements leaves of `--save`.
        let bare_save = flags.last().is_some_and(|(name, args)| name.eq_ignore_ascii_case(b"save") && args.is_empty());
        if is_flag && (!wants_value || bare_save) {
            let (name, values) = flag(&arg[2..]);
            wants_value = values.is_empty();
            flags.push((name, values));
        } else if let Some((_, values)) = flags.last_mut() {
            values.push(arg.clone());
            wants_value = false;
        } else {
            flags.push((arg.clone(), Vec::new()));
        }
    }
    for (name, values) in &mut flags {
        if name.eq_ignore_ascii_case(b"save") && values.is_empty() {
            values.push(Vec::new());
        }
    }
    flags
}

/// The name, and the values that stand in the same argument.
fn flag(text: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    if let Some(equals) = text.iter().position(|b| *b == b'=')
        && table().find(&text[..equals]).is_some()
    {
        return (text[..equals].to_vec(), vec![text[equals + 1..].to_vec()]);
    }
    match split_line(text).unwrap_or_default().split_first() {
        Some((name, values)) => (name.clone(), values.to_vec()),
        None => (text.to_vec(), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(args: &[&str]) -> Invocation {
        match parse_args(args.iter().map(OsString::from)) {
            Request::Serve(invocation) => invocation,
            other => panic!("{other:?}"),
        }
    }

    fn flags_of(args: &[&str]) -> Vec<String> {
        let text = |b: &Vec<u8>| String::from_utf8_lossy(b).into_owned();
        let join = |(name, args): &(Vec<u8>, Vec<Vec<u8>>)| {
            std::iter::once(text(name)).chain(args.iter().map(|a| format!("<{}>", text(a)))).collect::<String>()
        };
        serve(args).flags.iter().map(join).collect()
    }

    #[test]
    fn a_flag_takes_values_up_to_the_next_flag() {
        assert_eq!(flags_of(&["--port", "6380", "--bind", "::1", "127.0.0.1"]), ["port<6380>", "bind<::1><127.0.0.1>"]);
        assert_eq!(flags_of(&["--requirepass", "--secret", "--port", "1"]), ["requirepass<--secret>", "port<1>"]);
        assert_eq!(flags_of(&["--port 6380", "--timeout=5"]), ["port<6380>", "timeout<5>"]);
        assert_eq!(flags_of(&["--unknown=5"]), ["unknown=5"]);
        assert_eq!(flags_of(&["--slowlog-log-slower-than", "-1"]), ["slowlog-log-slower-than<-1>"]);
    }

    #[test]
    fn save_may_stand_alone() {
        assert_eq!(flags_of(&["--save", "--port", "1"]), ["save<>", "port<1>"]);
        assert_eq!(flags_of(&["--port", "1", "--save"]), ["port<1>", "save<>"]);
        assert_eq!(flags_of(&["--save", "", "--port", "1"]), ["save<>", "port<1>"]);
    }

    #[test]
    fn the_first_argument_without_a_dash_is_the_file_and_a_last_dash_is_standard_input() {
        let invocation = serve(&["a.conf", "--port", "1", "-"]);
        assert_eq!(invocation.file, Some(PathBuf::from("a.conf")));
        assert!(invocation.stdin);
        assert_eq!(invocation.flags.len(), 1);
        assert!(serve(&["-"]).stdin);
        assert_eq!(serve(&[]), Invocation::default());
    }

    #[test]
    fn help_and_version_come_first_only() {
        assert_eq!(parse_args(["--help".into()]), Request::Help);
        assert_eq!(parse_args(["-v".into()]), Request::Version);
        assert_eq!(flags_of(&["--requirepass", "--help"]), ["requirepass<--help>"]);
    }
}
