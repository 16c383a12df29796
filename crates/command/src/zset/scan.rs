//! ZSCAN.

use resp::Reply;

use crate::cx::Cx;
use crate::scan::{self, ScanArgs};
use crate::spec::Outcome;

pub(super) fn zscan(cx: &mut Cx<'_, '_>) -> Outcome {
    let cursor = scan::cursor(cx.arg(2))?;
    let Some(zset) = cx.state.zset(cx.arg(1))? else {
        scan::reply_empty(&mut cx.reply);
        return Ok(());
    };
    let options = ScanArgs::read_with(cx, 3, Some("noscores"))?;
    let mut page = Vec::new();
    let mut members = Reply::new(&mut page, cx.reply.protocol());
    let mut written = 0;
    let next = zset.scan(cursor, options.count, |member, score| {
        if !options.matches(member) {
            return;
        }
        members.bulk(member);
        written += 1;
        if !options.names_only {
            // Scores of a scan are texts in RESP3 too.
            members.bulk_double(score);
            written += 1;
        }
    })?;
    scan::reply_cursor(&mut cx.reply, next);
    cx.reply.array(written);
    cx.reply.raw(&page);
    Ok(())
}
