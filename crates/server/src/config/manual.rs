//! What people read about the directives: the help text of `serve` and the page of the manual.

use std::fmt::Write as _;

use super::directive::{Change, Directive, Effect, Section};
use super::table::table;

/// The help text of `serve`.
#[must_use]
pub fn render_help() -> String {
    let mut out = String::from(
        "Usage: anabranch serve [redis.conf] [--directive value ...] [-]\n\n\
         Reads the file, then standard input if the last argument is -, then the flags; the last one wins.\n\
         Every directive of redis.conf is a flag and every flag is a directive.\n\n\
         \x20 -h, --help      this text\n\
         \x20 -v, --version   the version\n",
    );
    for section in Section::ALL {
        let mut rows = table().section(section).filter(|row| works(row)).peekable();
        if rows.peek().is_some() {
            let _ = writeln!(out, "\n{}:", section.title());
        }
        for row in rows {
            let _ = writeln!(out, "  --{} <{}>", row.name, row.kind.describe());
            let _ = writeln!(out, "        {}{}", row.doc, default_note(row));
        }
    }
    let others = table().rows().filter(|row| !works(row)).count();
    let _ =
        writeln!(out, "\n{others} more directives of Redis and Valkey are known; docs/configuration.md lists them.");
    out
}

fn works(row: &Directive) -> bool {
    row.effect == Effect::Real
}

fn default_note(row: &Directive) -> String {
    if row.default == "\"\"" { String::new() } else { format!(" [{}]", row.default) }
}

/// The page of the manual, Markdown.
#[must_use]
pub fn render_markdown() -> String {
    let mut out = String::from(
        "<!-- Generated from the table of directives; run `UPDATE_DOCS=1 cargo test -p server` to write it anew. -->\n\
         # Configuration\n\n\
         Anabranch reads `redis.conf`. Each directive is a flag as well (`--maxmemory 4gb`), and flags win over the\n\
         file. `CONFIG GET` shows every value, `CONFIG SET` changes those marked *live*, `CONFIG REWRITE` brings the\n\
         file up to date without touching the lines that did not change.\n\n\
         Every directive of Redis 7.0 is known, and those of later versions and of Valkey that matter. Most of those\n\
         that have no meaning here are taken and kept, and warn when they are set: see *Without effect*. Those that\n\
         would promise something untrue are refused: see *Refused*.\n\n\
         Sizes: `1k` is 1000 bytes, `1kb` is 1024; likewise `m`, `mb`, `g` and `gb`, in any case.\n",
    );
    for section in Section::ALL {
        effective(&mut out, section);
    }
    inert(&mut out);
    refused(&mut out);
    out
}

fn effective(out: &mut String, section: Section) {
    let mut rows = table().section(section).filter(|row| works(row)).peekable();
    if rows.peek().is_none() {
        return;
    }
    let _ = writeln!(out, "\n## {}\n", section.title());
    out.push_str("| directive | default | value | changes | what it does |\n|---|---|---|---|---|\n");
    for row in rows {
        let kind = row.kind.describe();
        let _ = writeln!(
            out,
            "| {} | {} | {kind} | {} | {} |",
            names(row),
            default_cell(row),
            changes(row),
            escape(row.doc)
        );
    }
}

fn inert(out: &mut String) {
    out.push_str("\n## Without effect\n\nA value other than the default is kept, printed and warned about once.\n\n");
    out.push_str("| directive | default | why it does nothing |\n|---|---|---|\n");
    for row in table().rows() {
        if let Effect::Inert(why) = row.effect {
            let _ = writeln!(out, "| {} | {} | {} |", names(row), default_cell(row), escape(why));
        }
    }
}

fn refused(out: &mut String) {
    out.push_str("\n## Refused\n\nThe server does not start with another value, and `CONFIG SET` fails.\n\n");
    out.push_str("| directive | values taken | what to do |\n|---|---|---|\n");
    for row in table().rows() {
        if let Effect::Refused(allowed, instead) = row.effect {
            let allowed = allowed.iter().map(|a| code(if a.is_empty() { "\"\"" } else { a }));
            let allowed = allowed.collect::<Vec<_>>().join(", ");
            let _ = writeln!(out, "| {} | {allowed} | {} |", names(row), escape(instead));
        }
    }
}

fn names(row: &Directive) -> String {
    row.names().map(code).collect::<Vec<_>>().join(", ")
}

fn code(text: &str) -> String {
    format!("`{}`", escape(text))
}

fn default_cell(row: &Directive) -> String {
    if row.default == "\"\"" { String::new() } else { code(row.default) }
}

fn changes(row: &Directive) -> &'static str {
    match row.change {
        Change::Live => "live",
        Change::Protected => "live, protected",
        Change::AtStart | Change::Restart => "at start",
        Change::FileOnly => "at start, file or flag",
    }
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}
