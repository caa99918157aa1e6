//! The report as a page: self-contained, with the rate and loss of each receiver as curves.

mod chart;

use std::fmt::Write;

use manycast::transfer::files::{FileState, ReceiverReport, Sample, SendReport};

use super::report::{contents, course, state_of, verified};
use crate::output::{counted, grouped};
use chart::{Chart, Time};

/// The colours are those of the legend; where a system is dark, so is the page.
const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1f2328;--soft:#59636e;--line:#d1d9e0;--back:#fff;--card:#f6f8fa;\
--rate:#0a5fc2;--loss:#c2361b;--yes:#157532;--no:#b3261e}\
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--soft:#9aa4af;--line:#3d444d;--back:#0d1117;\
--card:#161b22;--rate:#6cb2ff;--loss:#ff8f73;--yes:#56d364;--no:#ff8d85}}\
*{box-sizing:border-box}\
body{font:15px/1.5 system-ui,sans-serif;max-width:76em;margin:0 auto;padding:1.5em 1em 3em;\
color:var(--text);background:var(--back)}\
h1{font-size:1.6em;line-height:1.25;margin:0 0 .4em;overflow-wrap:anywhere}\
h2{font-size:1.2em;margin:1.8em 0 .4em}h3{font-size:1em;margin:0;overflow-wrap:anywhere}p{margin:.4em 0}\
.yes{color:var(--yes)}.no{color:var(--no)}.soft{color:var(--soft)}\
.wide{overflow-x:auto}table{border-collapse:collapse}\
td,th{text-align:left;padding:.25em 1.2em .25em 0;vertical-align:top;border-bottom:1px solid var(--line);\
overflow-wrap:anywhere}th{font-weight:600;white-space:nowrap}\
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(21em,100%),1fr));gap:1em}\
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.8em;min-width:0}\
figure{margin:.6em 0 0}figcaption{font-size:.85em;color:var(--soft)}\
svg{display:block;width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:var(--soft)}\
.axis{stroke:var(--soft)}.rule{stroke:var(--line)}.axis,.rule{fill:none}\
polyline{fill:none;stroke-width:1.75;stroke-linejoin:round}circle{stroke:none}\
polyline.rate{stroke:var(--rate)}polyline.loss{stroke:var(--loss)}\
circle.rate{fill:var(--rate)}circle.loss{fill:var(--loss)}\
.key{display:inline-block;width:1.6em;height:.25em;border-radius:2px;vertical-align:middle;margin:0 .4em 0 0}\
.key.rate{background:var(--rate)}.key.loss{background:var(--loss)}.legend span+span{margin-left:1.4em}";

/// How many files of a receiver are listed that it does not have.
const LISTED: usize = 200;

/// The page, which needs nothing from elsewhere.
pub(super) fn page(report: &SendReport, address: &str) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\">\n<title>Files to {address}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>Files to {address}</h1>\n{}\n<p>{}, {}; {}, \
         {}.</p>\n",
        verdict(report),
        contents(report.files.iter()),
        course(report),
        counted(report.datagrams, "datagram"),
        counted(report.repairs, "repair"),
        address = text(address),
    );
    if report.receivers.is_empty() {
        page += "</body>\n</html>\n";
        return page;
    }
    page += "<h2>Receivers</h2>\n<div class=\"wide\"><table>\n<tr><th>Receiver</th><th>Files</th>\
             <th class=\"number\">Lost</th></tr>\n";
    for receiver in &report.receivers {
        let files = report.files.iter().zip(&receiver.files);
        let (class, state) = match (receiver.is_complete(), receiver.is_heard) {
            (true, _) => ("yes", format!("✓ {}", verified(files))),
            (false, true) => ("no", format!("✗ {}", verified(files))),
            (false, false) => ("no", "✗ was not heard of".to_owned()),
        };
        let lost = match receiver.is_heard {
            true => format!("{:.2} %", receiver.loss * 100.0),
            false => "–".to_owned(),
        };
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"{class}\">{state}</td><td class=\"number\">{lost}</td></tr>",
            text(&receiver.name),
        );
    }
    page += "</table></div>\n";
    let heard: Vec<_> = report.receivers.iter().filter(|it| it.is_heard).collect();
    curves(&mut page, &heard);
    for receiver in heard {
        lacking(&mut page, report, receiver);
    }
    page += "</body>\n</html>\n";
    page
}

fn verdict(report: &SendReport) -> &'static str {
    let is_heard = report.receivers.iter().any(|it| it.is_heard);
    match (report.expected, is_heard, report.is_complete()) {
        _ if report.stopped => "<p class=\"no\">✗ It was stopped before its end.</p>",
        (0, false, _) => {
            "<p>No receiver was expected and none is known: whether anybody has the files is not known.</p>"
        }
        (0, true, true) => {
            "<p class=\"yes\">✓ No receiver was expected; all that answered have verified every file.</p>"
        }
        (0, true, false) => {
            "<p class=\"no\">✗ No receiver was expected; not all that answered have verified every \
             file.</p>"
        }
        (_, _, true) => {
            "<p class=\"yes\">✓ Every receiver that was expected has verified every file.</p>"
        }
        (_, _, false) => {
            "<p class=\"no\">✗ Not every receiver that was expected has verified every file.</p>"
        }
    }
}

/// A card for each receiver. All have the same axes, so that they can be compared.
fn curves(page: &mut String, receivers: &[&ReceiverReport]) {
    let samples = || receivers.iter().flat_map(|it| &it.samples);
    if samples().next().is_none() {
        if !receivers.is_empty() {
            *page += "<p class=\"soft\">It was too short for curves.</p>\n";
        }
        return;
    }
    let greatest = |of: fn(&Sample) -> f64| samples().map(of).fold(0.0, f64::max);
    let time = Time::until(greatest(|it| it.at.as_secs_f64()));
    let rate = Chart::new("rate", "Mbit/s", greatest(mbits), &time);
    let loss = Chart::new("loss", "% lost", greatest(percent).max(1.0), &time);
    *page += "<h2>Rate and loss over time</h2>\n<p class=\"legend soft\"><span><i class=\"key rate\"></i>\
              bits of files that it took, in Mbit/s</span><span><i class=\"key loss\"></i>datagrams that \
              it missed, in %</span></p>\n<div class=\"grid\">\n";
    for receiver in receivers {
        let points = |of: fn(&Sample) -> f64| -> Vec<_> {
            let point = |it: &Sample| (it.at.as_secs_f64(), of(it));
            receiver.samples.iter().map(point).collect()
        };
        let class = if receiver.is_complete() { "yes" } else { "no" };
        let mark = if receiver.is_complete() { "✓" } else { "✗" };
        let name = text(&receiver.name);
        let _ = write!(
            page,
            "<div class=\"card\"><h3><span class=\"{class}\">{mark}</span> {name}</h3>\n{}{}</div>\n",
            rate.draw(&points(mbits), &name),
            loss.draw(&points(percent), &name),
        );
    }
    *page += "</div>\n";
}

fn mbits(sample: &Sample) -> f64 {
    sample.rate / 1e6
}

fn percent(sample: &Sample) -> f64 {
    sample.loss * 100.0
}

/// The files that a receiver does not have, and why not.
fn lacking(page: &mut String, report: &SendReport, receiver: &ReceiverReport) {
    let lacks = report.files.iter().zip(&receiver.files);
    let lacks = lacks.filter(|(_, state)| **state != FileState::Verified);
    let count = lacks.clone().count();
    if count == 0 {
        return;
    }
    let _ = writeln!(
        page,
        "<h2>What {} does not have</h2>\n<div class=\"wide\"><table>\n<tr><th>File</th><th>State</th></tr>",
        text(&receiver.name)
    );
    for (file, state) in lacks.take(LISTED) {
        let (state, error) = state_of(state);
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"no\">{}</td></tr>",
            text(&file.path),
            text(error.unwrap_or(state))
        );
    }
    *page += "</table></div>\n";
    if count > LISTED {
        let more = grouped((count - LISTED) as u64);
        let _ = writeln!(page, "<p class=\"soft\">and {more} more</p>");
    }
}

/// A text of others as HTML: nothing in it is a tag, and nothing a control character.
fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            unsafe_one if crate::output::is_unsafe(unsafe_one) => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_chose_is_no_tag() {
        assert_eq!(
            text("<script>&\"'\u{1b}"),
            "&lt;script&gt;&amp;&quot;&#39;\u{fffd}"
        );
    }
}
