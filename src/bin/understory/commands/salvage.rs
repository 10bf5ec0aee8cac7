//! `salvage`: what is intact of a damaged store, written into a new one.

use std::path::Path;

use serde::Serialize;
use understory::SalvageReport;

use crate::failure::Result;
use crate::output;
use crate::progress::Progress;

#[derive(Serialize)]
struct Report<'r> {
    items: u64,
    from_rows: u64,
    from_pages: u64,
    from_segments: u64,
    rounded: u64,
    without_metadata: u64,
    uncertain: u64,
    older: u64,
    lost: u64,
    nameless: u64,
    refused: u64,
    metric: &'static str,
    metric_is_known: bool,
    problems: &'r [String],
}

pub(crate) fn run(store: &Path, target: &Path, json: bool) -> Result<()> {
    quieten_row_database();
    let report = {
        let _progress = Progress::waiting("salvaging");
        understory::salvage(store, target)?
    };
    if json {
        return output::json(&Report::new(&report));
    }
    for problem in &report.problems {
        eprintln!("understory: found: {problem}");
    }
    for line in lines(&report) {
        output::line(&line)?;
    }
    Ok(())
}

/// The row database panics on some damaged pages. The library makes reports of that; nobody needs to read it twice.
fn quieten_row_database() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.location().is_none_or(|place| !place.file().contains("redb")) {
            report(panic);
        }
    }));
}

impl Report<'_> {
    fn new(report: &SalvageReport) -> Report<'_> {
        Report {
            items: report.items,
            from_rows: report.from_rows,
            from_pages: report.from_pages,
            from_segments: report.from_segments,
            rounded: report.rounded,
            without_metadata: report.without_metadata,
            uncertain: report.uncertain,
            older: report.older,
            lost: report.lost,
            nameless: report.nameless,
            refused: report.refused,
            metric: report.metric.name(),
            metric_is_known: report.metric_is_known,
            problems: &report.problems,
        }
    }
}

/// What people want to know: what there is, and what to be careful about.
fn lines(report: &SalvageReport) -> Vec<String> {
    let cares = [
        (report.from_pages, "found among the bytes of the row file"),
        (report.from_segments, "from segments"),
        (report.rounded, "rounded, as their segment had them"),
        (report.without_metadata, "without their metadata"),
        (report.uncertain, "may have been deleted or replaced since"),
        (report.older, "in an older version, the newest being lost"),
        (report.lost, "lost: only the id is left"),
        (report.nameless, "vectors without an id, not written"),
        (report.refused, "refused by metric or dimension, not written"),
    ];
    let mut lines = vec![format!("salvaged {} items", output::grouped(report.items))];
    let cares = cares.into_iter().filter(|&(count, _)| count > 0);
    lines.extend(cares.map(|(count, what)| format!("{:>10} {what}", output::grouped(count))));
    if !report.metric_is_known {
        lines.push(format!("the metric is lost: the new store has {}", report.metric));
    }
    lines
}
