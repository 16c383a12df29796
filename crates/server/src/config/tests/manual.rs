//! The page of the manual is current, and the help text has what works.

use super::super::{render_help, render_markdown};

#[test]
fn the_committed_page_is_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, render_markdown()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == render_markdown(),
        "docs/configuration.md is not current: run `UPDATE_DOCS=1 cargo test -p server` and commit it"
    );
}

#[test]
fn help_lists_what_works_and_leaves_out_what_does_not() {
    let help = render_help();
    assert!(help.contains("\n  --appendfsync <everysec, always, no>\n"));
    assert!(help.contains("[512mb]"));
    assert!(!help.contains("--cluster-enabled") && !help.contains("--hz "));
    assert!(help.lines().all(|line| line.len() < 260), "{:?}", help.lines().max_by_key(|l| l.len()));
}

#[test]
fn tables_of_the_page_keep_their_columns() {
    let page = render_markdown();
    let mut width = 0;
    for line in page.lines() {
        let bars = line.replace("\\|", "").matches('|').count();
        width = if line.starts_with('|') && width > 0 { width } else { bars };
        if line.starts_with('|') {
            assert_eq!(bars, width, "{line}");
        } else {
            width = 0;
        }
    }
}
