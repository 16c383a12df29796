//! ZSCAN.

use effect::glob;
use engine::Stop;
use resp::Reply;

use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

/// Members of a page where COUNT does not say.
const PAGE: usize = 10;

/// The options of ZSCAN.
struct Options<'a> {
    count: usize,
    pattern: Option<&'a [u8]>,
    scores: bool,
}

impl<'a> Options<'a> {
    fn read(cx: &Cx<'a, '_>) -> Result<Self, Stop> {
        let mut options = Self { count: PAGE, pattern: None, scores: true };
        let mut at = 3;
        while let Some(option) = cx.args.get(at) {
            let value = cx.args.get(at + 1);
            match (option, value) {
                (_, Some(value)) if parse::is(option, "COUNT") => {
                    let count = usize::try_from(parse::int(value)?).ok().filter(|count| *count > 0);
                    options.count = count.ok_or(errors::SYNTAX)?;
                    at += 1;
                }
                (_, Some(value)) if parse::is(option, "MATCH") => {
                    options.pattern = Some(value).filter(|pattern| *pattern != b"*");
                    at += 1;
                }
                _ if parse::is(option, "NOSCORES") => options.scores = false,
                _ if parse::is(option, "NOVALUES") => return Err(errors::NOVALUES_NEEDS_HSCAN),
                _ => return Err(errors::SYNTAX),
            }
            at += 1;
        }
        Ok(options)
    }
}

pub(super) fn zscan(cx: &mut Cx<'_, '_>) -> Outcome {
    let cursor = parse::cursor(cx.arg(2))?;
    let Some(zset) = cx.state.zset(cx.arg(1))? else {
        cx.reply.array(2);
        cx.reply.bulk(b"0");
        cx.reply.array(0);
        return Ok(());
    };
    let options = Options::read(cx)?;
    let mut page = Vec::new();
    let mut members = Reply::new(&mut page, cx.reply.protocol());
    let mut written = 0;
    let next = zset.scan(cursor, options.count, |member, score| {
        if options.pattern.is_some_and(|pattern| !glob::matches(pattern, member)) {
            return;
        }
        members.bulk(member);
        written += 1;
        if options.scores {
            members.bulk_double(score);
            written += 1;
        }
    })?;
    cx.reply.array(2);
    cx.reply.bulk(next.unwrap_or(0).to_string().as_bytes());
    cx.reply.array(written);
    cx.reply.raw(&page);
    Ok(())
}
