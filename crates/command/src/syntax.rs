//! What a command's syntax says of its arguments, one by one: for COMMAND DOCS, from which clients make their help.
//!
//! ```text
//! syntax   := part*
//! part     := word | TOKEN word* | TOKEN? group | part "..."
//! group    := "[" choice "]"       may be left out
//!           | "<" choice ">"       must be there
//! choice   := syntax ("|" syntax)*
//! ```
//! A group that says again what stands before it, with `...` at its end, means that this may be repeated: `key [key ...]`.
//!
//! *Invariant:* written out again, the arguments give the same syntax.

use std::fmt::{self, Display};

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentType {
    /// A key.
    Key,
    /// Any bytes.
    String,
    /// A whole number.
    Integer,
    /// A floating point number.
    Double,
    /// A glob pattern.
    Pattern,
    /// A moment: seconds or milliseconds since 1970.
    UnixTime,
    /// A word that stands for itself.
    Token,
    /// One of its parts.
    OneOf,
    /// All of its parts.
    Block,
}

impl ArgumentType {
    /// The name that COMMAND DOCS gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::Token => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }

    fn of(word: &str) -> Self {
        match word {
            "key" | "source" | "destination" | "destkey" | "newkey" | "key1" | "key2" | "dst" | "src" => Self::Key,
            "seconds" | "milliseconds" | "count" | "offset" | "numkeys" | "index" | "cursor" | "start" | "stop"
            | "end" | "ttl" | "db" | "destination-db" | "rank" | "num-matches" | "len" | "length" | "min-match-len"
            | "limit" | "bit" | "decrement" | "increment" | "protover" | "numlocal" | "numreplicas" | "client-id"
            | "frequency" | "exactly" | "id" | "numfields" => Self::Integer,
            "timeout" | "score" => Self::Double,
            "pattern" => Self::Pattern,
            "unix-time-seconds" | "unix-time-milliseconds" => Self::UnixTime,
            _ => Self::String,
        }
    }
}

/// An argument, or a group of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name; of a group those of its parts.
    pub name: String,
    /// What it is.
    pub kind: ArgumentType,
    /// The word in front of it.
    pub token: Option<&'static str>,
    /// It may be left out.
    pub optional: bool,
    /// It may be repeated.
    pub multiple: bool,
    /// If repeated, the word in front of it is, too.
    pub multiple_token: bool,
    /// The parts of a group.
    pub parts: Vec<Argument>,
}

impl Argument {
    fn new(name: &str, kind: ArgumentType, parts: Vec<Self>) -> Self {
        let name = name.to_owned();
        Self { name, kind, token: None, optional: false, multiple: false, multiple_token: false, parts }
    }

    fn group(kind: ArgumentType, parts: Vec<Self>) -> Self {
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        Self::new(&names.join("_"), kind, parts)
    }

    /// Several as one.
    fn together(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 { parts.remove(0) } else { Self::group(ArgumentType::Block, parts) }
    }

    /// Behind its token, once.
    fn write_itself(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ArgumentType::OneOf => {
                let bare = self.optional && self.token.is_none() && !self.multiple;
                let parts: Vec<String> = self.parts.iter().map(Self::to_string).collect();
                if bare { write!(out, "{}", parts.join(" | ")) } else { write!(out, "<{}>", parts.join(" | ")) }
            }
            ArgumentType::Block => write!(out, "{}", Arguments(&self.parts)),
            ArgumentType::Token => write!(out, "{}", self.token.unwrap_or_default()),
            _ => write!(out, "{}", self.name),
        }
    }

    fn write_once(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(token), false) = (self.token, self.kind == ArgumentType::Token) {
            write!(out, "{token} ")?;
        }
        self.write_itself(out)
    }
}

impl Display for Argument {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.optional {
            write!(out, "[")?;
        }
        self.write_once(out)?;
        if self.multiple && self.kind == ArgumentType::OneOf {
            write!(out, " ...")?;
        } else if self.multiple {
            write!(out, " [")?;
            if self.multiple_token {
                self.write_once(out)?
            } else {
                self.write_itself(out)?
            }
            write!(out, " ...]")?;
        }
        if self.optional { write!(out, "]") } else { Ok(()) }
    }
}

/// Arguments, one behind the other.
struct Arguments<'a>(&'a [Argument]);

impl Display for Arguments<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, argument) in self.0.iter().enumerate() {
            if at > 0 {
                write!(out, " ")?;
            }
            write!(out, "{argument}")?;
        }
        Ok(())
    }
}

/// The arguments that a syntax describes.
pub fn arguments(syntax: &'static str) -> Vec<Argument> {
    let mut words = Vec::new();
    for word in syntax.split_whitespace() {
        let inner = word.trim_start_matches(['[', '<']);
        words.extend(word[..word.len() - inner.len()].split_terminator("").filter(|bracket| !bracket.is_empty()));
        let bare = inner.trim_end_matches([']', '>']);
        words.extend((!bare.is_empty()).then_some(bare));
        words.extend(inner[bare.len()..].split_terminator("").filter(|bracket| !bracket.is_empty()));
    }
    let mut parser = Parser { words, at: 0 };
    parser.sequence()
}

struct Parser {
    words: Vec<&'static str>,
    at: usize,
}

/// A word that stands for itself.
fn is_token(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase()) && !word.contains(|c: char| c.is_ascii_lowercase())
}

fn is_name(word: &str) -> bool {
    !is_token(word) && !matches!(word, "[" | "]" | "<" | ">" | "|" | "...")
}

impl Parser {
    fn peek(&self) -> Option<&'static str> {
        self.words.get(self.at).copied()
    }

    fn sequence(&mut self) -> Vec<Argument> {
        let mut all: Vec<Argument> = Vec::new();
        while let Some(word) = self.peek() {
            match word {
                "]" | ">" | "|" => break,
                "..." => {
                    self.at += 1;
                    all.last_mut().into_iter().for_each(|last| last.multiple = true);
                }
                "[" if self.repeats(&mut all) => {}
                "[" | "<" => all.push(self.group()),
                token if is_token(token) => all.push(self.behind_token(token)),
                name => {
                    self.at += 1;
                    all.push(Argument::new(name, ArgumentType::of(name), Vec::new()));
                }
            }
        }
        all
    }

    fn group(&mut self) -> Argument {
        let optional = self.peek() == Some("[");
        let mut choices = Vec::new();
        while self.peek().is_some_and(|word| matches!(word, "[" | "<" | "|"))
            && (choices.is_empty() || self.peek() == Some("|"))
        {
            self.at += 1;
            choices.push(Argument::together(self.sequence()));
        }
        self.at += 1;
        let group = if choices.len() > 1 { Argument::group(ArgumentType::OneOf, choices) } else { choices.remove(0) };
        Argument { optional, ..group }
    }

    fn behind_token(&mut self, token: &'static str) -> Argument {
        self.at += 1;
        let mut parts = Vec::new();
        while let Some(name) = self.peek().filter(|word| is_name(word)) {
            self.at += 1;
            parts.push(Argument::new(name, ArgumentType::of(name), Vec::new()));
        }
        let argument = match self.peek() {
            Some("<") if parts.is_empty() => self.group(),
            _ if parts.is_empty() => Argument::new(&token.to_ascii_lowercase(), ArgumentType::Token, parts),
            _ => Argument::together(parts),
        };
        Argument { token: Some(token), ..argument }
    }

    /// Takes in a group that says again what stands before it, and that this may be repeated.
    fn repeats(&mut self, before: &mut Vec<Argument>) -> bool {
        let inner = &self.words[self.at + 1..];
        let Some(end) = inner.iter().position(|word| *word == "]") else { return false };
        let Some((&"...", again)) = inner[..end].split_last() else { return false };
        let found = repeat(before, &again.join(" "));
        if found {
            self.at += end + 2;
        }
        found
    }
}

/// Notes that the end of these arguments, which reads like `again`, may be repeated; false if nothing there does.
fn repeat(arguments: &mut Vec<Argument>, again: &str) -> bool {
    let reads_so = |from: &usize| Arguments(&arguments[*from..]).to_string() == again;
    if let Some(from) = (0..arguments.len()).rev().find(reads_so) {
        let repeated = Argument::together(arguments.split_off(from));
        let multiple_token = repeated.token.is_some();
        arguments.push(Argument { multiple: true, multiple_token, ..repeated });
        return true;
    }
    let Some(last) = arguments.last_mut() else { return false };
    if last.token.is_some_and(|token| last.to_string() == format!("{token} {again}")) {
        last.multiple = true;
        return true;
    }
    last.kind == ArgumentType::Block && repeat(&mut last.parts, again)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    #[test]
    fn every_syntax_is_what_its_arguments_say() {
        let wrong = table::ids().filter_map(|id| {
            let syntax = table::spec(id).syntax;
            let said = Arguments(&arguments(syntax)).to_string();
            (said != syntax).then(|| format!("{}: {syntax}, not {said}", table::full_name(id)))
        });
        assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
    }

    #[test]
    fn arguments_are_described_as_redis_does() {
        let [key, by, limit, get, order] =
            arguments("key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC]")
                .try_into()
                .unwrap();
        assert_eq!((key.kind, key.optional), (ArgumentType::Key, false));
        assert_eq!((by.kind, by.token, by.optional), (ArgumentType::Pattern, Some("BY"), true));
        assert_eq!(
            (limit.name.as_str(), limit.kind, limit.token),
            ("offset_count", ArgumentType::Block, Some("LIMIT"))
        );
        assert_eq!(limit.parts.iter().map(|part| part.kind).collect::<Vec<_>>(), [ArgumentType::Integer; 2]);
        assert!(get.optional && get.multiple && get.multiple_token);
        assert_eq!((order.kind, order.parts.len(), order.optional), (ArgumentType::OneOf, 2, true));
        assert!(order.parts.iter().all(|part| part.kind == ArgumentType::Token && !part.optional));
        let [_, pairs] = arguments("key score member [score member ...]").try_into().unwrap();
        assert_eq!((pairs.name.as_str(), pairs.multiple, pairs.optional), ("score_member", true, false));
        let [ids] = arguments("[ID id [id ...]]").try_into().unwrap();
        assert!(ids.multiple && !ids.multiple_token && ids.token == Some("ID"));
    }
}
