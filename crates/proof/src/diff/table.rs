//! The grammar of `commands.txt`: a small tree per production.

use anyhow::{Context, Result, bail};

/// A part of a production.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A word that stands for itself.
    Word(String),
    /// A random argument, by the name of its kind.
    Atom(String),
    /// One after the other.
    Seq(Vec<Node>),
    /// One of them.
    Alt(Vec<Node>),
    /// Between so and so many times.
    Rep(Box<Node>, usize, usize),
}

/// A production with its weight.
#[derive(Clone, Debug)]
pub struct Production {
    /// How often, relative to the others.
    pub weight: usize,
    /// What it says.
    pub node: Node,
}

impl Production {
    /// The command's name, if it is fixed.
    pub fn name(&self) -> Option<&str> {
        match &self.node {
            Node::Seq(nodes) => match nodes.first() {
                Some(Node::Word(word)) => Some(word),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Reads the whole table.
pub fn parse(text: &str) -> Result<Vec<Production>> {
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parse = || {
            let (weight, rest) = line.split_once(' ').context("weight and production")?;
            let spaced = rest.replace('(', " ( ").replace(')', " ) ").replace('|', " | ");
            // A quantifier belongs to the parenthesis before it.
            let tokens: Vec<&str> = spaced.split_whitespace().collect();
            let mut at = 0;
            let node = alternatives(&tokens, &mut at)?;
            if at != tokens.len() {
                bail!("unexpected {}", tokens[at]);
            }
            Ok(Production { weight: weight.parse()?, node })
        };
        found.push(parse().with_context(|| format!("line {}: {line}", i + 1))?);
    }
    Ok(found)
}

fn alternatives(tokens: &[&str], at: &mut usize) -> Result<Node> {
    let mut all = vec![sequence(tokens, at)?];
    while tokens.get(*at) == Some(&"|") {
        *at += 1;
        all.push(sequence(tokens, at)?);
    }
    Ok(if all.len() == 1 { all.remove(0) } else { Node::Alt(all) })
}

fn sequence(tokens: &[&str], at: &mut usize) -> Result<Node> {
    let mut nodes = Vec::new();
    while let Some(&token) = tokens.get(*at) {
        match token {
            "|" | ")" => break,
            "(" => {
                *at += 1;
                let inner = alternatives(tokens, at)?;
                if tokens.get(*at) != Some(&")") {
                    bail!("a parenthesis is not closed");
                }
                *at += 1;
                nodes.push(repeated(inner, tokens, at)?);
            }
            _ => {
                *at += 1;
                nodes.push(match token.strip_prefix('<').and_then(|t| t.strip_suffix('>')) {
                    Some(atom) => Node::Atom(atom.to_owned()),
                    None => Node::Word(token.to_owned()),
                });
            }
        }
    }
    Ok(Node::Seq(nodes))
}

fn repeated(node: Node, tokens: &[&str], at: &mut usize) -> Result<Node> {
    let (low, high) = match tokens.get(*at) {
        Some(&"?") => (0, 1),
        Some(&"*") => (0, 3),
        Some(&"+") => (1, 4),
        Some(t) if t.starts_with('{') => {
            let (low, high) = t.trim_matches(['{', '}']).split_once(',').context("{low,high}")?;
            (low.parse()?, high.parse()?)
        }
        _ => return Ok(node),
    };
    *at += 1;
    Ok(Node::Rep(Box::new(node), low, high))
}

#[cfg(test)]
mod tests {
    use super::{Node, parse};

    #[test]
    fn a_production_is_a_tree() {
        let table = parse("# c\n3 SET <s> ( NX | EX <ttl> ){0,2} (<k>)+\n").unwrap();
        assert_eq!(table.len(), 1);
        assert_eq!((table[0].weight, table[0].name()), (3, Some("SET")));
        let Node::Seq(nodes) = &table[0].node else { panic!("not a sequence") };
        assert!(matches!(&nodes[2], Node::Rep(inner, 0, 2) if matches!(**inner, Node::Alt(_))));
        assert!(matches!(&nodes[3], Node::Rep(_, 1, 4)));
    }

    #[test]
    fn a_broken_production_is_refused_with_its_line() {
        for bad in ["SET", "x SET", "1 SET ( a", "1 SET a )", "1 SET (a){1}"] {
            assert!(parse(bad).is_err(), "{bad} was accepted");
        }
    }
}
