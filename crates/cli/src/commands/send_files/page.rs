//! The report as a page: self-contained, with the rate and loss of each receiver as curves.

use std::fmt::Write;

use manycast::transfer::files::{FileState, ReceiverReport, Sample, SendReport};

use super::report::{rate, state_of};
use crate::output::{Span, counted};

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222;background:#fff}\
table{border-collapse:collapse;margin:.5em 0}td,th{text-align:left;padding:.2em .8em .2em 0;vertical-align:top}\
th{font-weight:600}.yes{color:#17702f}.no{color:#b3261e}svg{max-width:100%;height:auto}\
figure{margin:.5em 0}figcaption{color:#555}h2{margin-top:1.8em}";

/// The page, which needs nothing from elsewhere.
pub(super) fn page(report: &SendReport, address: &str) -> String {
    let mut page = String::new();
    let verdict = match report.is_complete() {
        true => "<p class=\"yes\">Every receiver that was expected has verified every file.</p>",
        false => {
            "<p class=\"no\">Not every receiver that was expected has verified every file.</p>"
        }
    };
    let known = report.expected > 0 || report.receivers.iter().any(|it| it.is_heard);
    let verdict = match known {
        true => verdict,
        false => {
            "<p>No receiver was expected and none is known: whether anybody has the files is not known.</p>"
        }
    };
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>Files to {address}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<h1>Files to {address}</h1>\n{verdict}\n<p>{}, {} in {}, {:.1} Mbit/s; {}, \
         {}.</p>\n",
        counted(report.files.len() as u64, "file"),
        counted(report.bytes, "byte"),
        Span(report.elapsed),
        rate(report) / 1e6,
        counted(report.datagrams, "datagram"),
        counted(report.repairs, "repair"),
        address = text(address),
    );
    page += "<table>\n<tr><th>Receiver</th><th>Files verified</th><th>Lost</th></tr>\n";
    for receiver in &report.receivers {
        let class = if receiver.is_complete() { "yes" } else { "no" };
        let verified = receiver
            .files
            .iter()
            .filter(|it| **it == FileState::Verified);
        let state = match receiver.is_heard {
            true => format!("{} of {}", verified.count(), receiver.files.len()),
            false => "was not heard of".to_owned(),
        };
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"{class}\">{state}</td><td>{:.2} %</td></tr>",
            text(&receiver.name),
            receiver.loss * 100.0
        );
    }
    page += "</table>\n";
    for receiver in report.receivers.iter().filter(|it| it.is_heard) {
        section(&mut page, report, receiver);
    }
    page += "</body>\n</html>\n";
    page
}

fn section(page: &mut String, report: &SendReport, receiver: &ReceiverReport) {
    let _ = writeln!(page, "<h2>{}</h2>", text(&receiver.name));
    let rates: Vec<_> = points(&receiver.samples, |it| it.rate / 1e6);
    let losses: Vec<_> = points(&receiver.samples, |it| it.loss * 100.0);
    page.push_str(&curve(&rates, "Mbit/s", "#1b5faa"));
    page.push_str(&curve(&losses, "% lost", "#b3261e"));
    let lacks = report.files.iter().zip(&receiver.files);
    let lacks: Vec<_> = lacks
        .filter(|(_, state)| **state != FileState::Verified)
        .collect();
    if lacks.is_empty() {
        page.push_str("<p class=\"yes\">Every file is complete and verified.</p>\n");
        return;
    }
    page.push_str("<table>\n<tr><th>File</th><th>State</th></tr>\n");
    for (file, state) in lacks {
        let (state, error) = state_of(state);
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"no\">{}</td></tr>",
            text(&file.path),
            text(error.unwrap_or(state))
        );
    }
    page.push_str("</table>\n");
}

fn points(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    let point = |sample: &Sample| (sample.at.as_secs_f64(), value(sample));
    samples.iter().map(point).collect()
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 140.0;
/// Room for what stands beside the curve, left and below.
const LEFT: f64 = 60.0;
const BELOW: f64 = 24.0;

/// A curve over seconds, with its greatest value and its end written beside it.
fn curve(points: &[(f64, f64)], unit: &str, color: &str) -> String {
    let greatest = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(0.0, f64::max);
    let (end, most) = (greatest(|it| it.0).max(1e-3), greatest(|it| it.1));
    let top = if most > 0.0 { most } else { 1.0 };
    let place = |(at, value): &(f64, f64)| {
        let x = LEFT + at / end * (WIDTH - LEFT - 10.0);
        let y = HEIGHT - BELOW - value / top * (HEIGHT - BELOW - 14.0);
        format!("{x:.1},{y:.1}")
    };
    let line: Vec<_> = points.iter().map(place).collect();
    let base = HEIGHT - BELOW;
    format!(
        "<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" \
         aria-label=\"{unit} over time\">\
         <path d=\"M{LEFT},10V{base}H{right}\" fill=\"none\" stroke=\"#999\"/>\
         <text x=\"{label}\" y=\"18\" text-anchor=\"end\" font-size=\"12\">{most:.1}</text>\
         <text x=\"{label}\" y=\"{base}\" text-anchor=\"end\" font-size=\"12\">0</text>\
         <text x=\"{right}\" y=\"{foot}\" text-anchor=\"end\" font-size=\"12\">{end:.1} s</text>\
         <polyline points=\"{line}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/></svg>\
         <figcaption>{unit}</figcaption></figure>\n",
        right = WIDTH - 10.0,
        label = LEFT - 6.0,
        foot = HEIGHT - 6.0,
        line = line.join(" "),
    )
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

    #[test]
    fn a_curve_stays_in_its_frame() {
        let drawn = curve(&[(0.5, 0.0), (1.0, 90.0), (2.0, 30.0)], "Mbit/s", "#000");
        let points = drawn.split("points=\"").nth(1).unwrap();
        let points = points.split('"').next().unwrap();
        for point in points.split(' ') {
            let (x, y) = point.split_once(',').unwrap();
            assert!((LEFT..=WIDTH).contains(&x.parse().unwrap()), "{point}");
            assert!(
                (0.0..=HEIGHT - BELOW).contains(&y.parse().unwrap()),
                "{point}"
            );
        }
        assert!(drawn.contains(">90.0<") && drawn.contains(">2.0 s<"));
        assert!(curve(&[], "Mbit/s", "#000").contains("points=\"\""));
    }
}
