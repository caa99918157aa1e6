//! A curve over time, with its axes.

use std::fmt::Write;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 132.0;
/// Room for what stands left of the curve, above it, right of it and below.
const LEFT: f64 = 46.0;
const ABOVE: f64 = 20.0;
const RIGHT: f64 = 14.0;
const BELOW: f64 = 20.0;

/// The horizontal axis.
pub(super) struct Time {
    end: f64,
    /// How many seconds its unit has, and its name.
    unit: (f64, &'static str),
}

impl Time {
    /// From 0 to so many seconds.
    pub(super) fn until(end: f64) -> Self {
        let unit = match end {
            ..300.0 => (1.0, "s"),
            300.0..10_800.0 => (60.0, "min"),
            _ => (3600.0, "h"),
        };
        Self {
            end: end.max(1e-3),
            unit,
        }
    }

    fn place(&self, at: f64) -> f64 {
        LEFT + (at / self.end).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }
}

/// How curves of one kind are drawn: all with the same axes.
pub(super) struct Chart<'a> {
    class: &'static str,
    unit: &'static str,
    /// The distance of two lines of the grid, and the value at the top.
    step: f64,
    top: f64,
    time: &'a Time,
}

impl<'a> Chart<'a> {
    /// For values from 0 to `most`.
    pub(super) fn new(class: &'static str, unit: &'static str, most: f64, time: &'a Time) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let step = step(most, 3.0);
        Self {
            class,
            unit,
            step,
            top: (most / step).ceil() * step,
            time,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let base = HEIGHT - BELOW;
        base - (value / self.top).clamp(0.0, 1.0) * (base - ABOVE)
    }

    /// The curve of `whose`, which is safe as HTML.
    pub(super) fn draw(&self, points: &[(f64, f64)], whose: &str) -> String {
        let (class, unit) = (self.class, self.unit);
        let (base, right) = (HEIGHT - BELOW, WIDTH - RIGHT);
        let mut svg = format!(
            "<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{whose}: {unit} \
             over time\"><text x=\"{x}\" y=\"11\" text-anchor=\"end\">{unit}</text>",
            x = LEFT - 6.0,
        );
        for value in values(self.step, self.top) {
            let y = self.place(value);
            let kind = if value > 0.0 { "rule" } else { "axis" };
            let _ = write!(
                svg,
                "<path class=\"{kind}\" d=\"M{LEFT},{y:.1}H{right}\"/><text x=\"{x}\" y=\"{below:.1}\" \
                 text-anchor=\"end\">{value}</text>",
                x = LEFT - 6.0,
                below = y + 4.0,
                value = number(value, self.step),
            );
        }
        let (seconds, unit) = self.time.unit;
        let step = step(self.time.end / seconds, 4.0);
        let last = self.time.end / seconds;
        for value in values(step, last) {
            let x = self.time.place(value * seconds);
            // The unit stands behind the last one.
            let unit = if value + step > last * (1.0 + 1e-9) {
                unit
            } else {
                ""
            };
            let _ = write!(
                svg,
                "<path class=\"axis\" d=\"M{x:.1},{base}v4\"/><text x=\"{x:.1}\" y=\"{foot}\" \
                 text-anchor=\"middle\">{value}{space}{unit}</text>",
                foot = HEIGHT - 5.0,
                value = number(value, step),
                space = if unit.is_empty() { "" } else { " " },
            );
        }
        let place = |(at, value): &(f64, f64)| {
            format!("{:.1},{:.1}", self.time.place(*at), self.place(*value))
        };
        let line: Vec<_> = points.iter().map(place).collect();
        let _ = write!(
            svg,
            "<polyline class=\"{class}\" points=\"{}\"/>",
            line.join(" ")
        );
        // Of one point there is no line.
        if let [(at, value)] = points {
            let (x, y) = (self.time.place(*at), self.place(*value));
            let _ = write!(
                svg,
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>"
            );
        }
        svg + "</svg></figure>\n"
    }
}

/// A distance of 1, 2 or 5 times a power of ten, of which some `count` go into `most`.
fn step(most: f64, count: f64) -> f64 {
    let rough = most / count;
    let power = 10_f64.powf(rough.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let factor = factors.into_iter().find(|it| it * power >= rough * 0.999);
    factor.unwrap_or(10.0) * power
}

/// From 0 on as far as `most`.
fn values(step: f64, most: f64) -> impl Iterator<Item = f64> {
    (0..16)
        .map(move |at| f64::from(at) * step)
        .take_while(move |value| *value <= most * (1.0 + 1e-9))
}

/// With as many decimals as the distance to the next has.
fn number(value: f64, step: f64) -> String {
    let decimals = (0..6).find(|decimals| {
        let scaled = step * 10_f64.powi(*decimals);
        (scaled - scaled.round()).abs() < 1e-6
    });
    let decimals = usize::try_from(decimals.unwrap_or(6)).unwrap_or(0);
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers() {
        let labels = |most: f64| -> Vec<_> {
            let step = step(most, 3.0);
            values(step, most).map(|it| number(it, step)).collect()
        };
        assert_eq!(labels(31.9), ["0", "20"]);
        assert_eq!(labels(60.0), ["0", "20", "40", "60"]);
        assert_eq!(labels(0.7), ["0.0", "0.5"]);
        assert_eq!(labels(950.0), ["0", "500"]);
        assert_eq!(labels(0.03), ["0.00", "0.01", "0.02", "0.03"]);
    }

    #[test]
    fn a_curve_stays_in_its_frame() {
        let time = Time::until(2.0);
        let chart = Chart::new("rate", "Mbit/s", 90.0, &time);
        let drawn = chart.draw(&[(0.5, 0.0), (1.0, 90.0), (2.0, 30.0)], "lab1");
        let points = drawn.split("points=\"").nth(1).unwrap();
        let points = points.split('"').next().unwrap();
        for point in points.split(' ') {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((LEFT..=WIDTH - RIGHT).contains(&x), "{point}");
            assert!((ABOVE..=HEIGHT - BELOW).contains(&y), "{point}");
        }
        assert!(
            drawn.contains(">100<") && drawn.contains(">2.0 s<"),
            "{drawn}"
        );
        assert!(chart.draw(&[], "lab1").contains("points=\"\""));
        assert!(chart.draw(&[(1.0, 1.0)], "lab1").contains("<circle"));
    }

    #[test]
    fn long_times_have_larger_units() {
        for (end, unit) in [(299.0, "s"), (600.0, "min"), (90_000.0, "h")] {
            let time = Time::until(end);
            let chart = Chart::new("rate", "Mbit/s", 0.0, &time);
            let drawn = chart.draw(&[(end, 0.0)], "lab1");
            assert!(drawn.contains(&format!(" {unit}</text>")), "{drawn}");
        }
    }
}
