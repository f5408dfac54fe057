//! Miss-ratio curves as a drawing.

use std::fmt::Write;

use crate::replay::{Outcome, subjects};

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 48.0;
const LEGEND: f64 = 60.0;
const PANELS_IN_A_ROW: usize = 2;

/// Colour and dash of each subject, in their order; distinguishable without red and green.
const STYLES: [(&str, &str); 9] = [
    ("#d62728", ""),
    ("#1f77b4", ""),
    ("#9467bd", ""),
    ("#8c8c8c", "6 3"),
    ("#e6a100", ""),
    ("#17a2b8", ""),
    ("#2c7a3f", "6 3"),
    ("#555555", "2 3"),
    ("#000000", "8 3 2 3"),
];

/// A panel for each trace among `outcomes`.
pub fn draw(title: &str, outcomes: &[Outcome]) -> String {
    let panels: Vec<&[Outcome]> = outcomes.chunk_by(|one, other| one.trace == other.trace).collect();
    let columns = panels.len().clamp(1, PANELS_IN_A_ROW);
    let rows = panels.len().div_ceil(columns);
    let (width, height) = (to_f64(columns) * WIDTH, to_f64(rows) * HEIGHT + LEGEND + 26.0);
    let mut svg = String::new();
    let _ = write!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif" font-size="11">
<rect width="{width}" height="{height}" fill="white"/>
<text x="{}" y="20" font-size="15" text-anchor="middle">miss ratio: {}</text>
"#,
        width / 2.0,
        escape(title),
    );
    for (number, panel) in panels.iter().enumerate() {
        let (x, y) = (to_f64(number % columns) * WIDTH, to_f64(number / columns) * HEIGHT + 26.0);
        let _ = writeln!(svg, r#"<g transform="translate({x} {y})">"#);
        draw_panel(&mut svg, panel);
        svg.push_str("</g>\n");
    }
    legend(&mut svg, width, height - LEGEND);
    svg.push_str("</svg>\n");
    svg
}

fn draw_panel(svg: &mut String, panel: &[Outcome]) {
    let percents = || panel.iter().map(|outcome| outcome.size.percent);
    let (low, high) = (percents().fold(f64::INFINITY, f64::min), percents().fold(0.0, f64::max));
    // One size alone stands in the middle of a decade.
    let (low, high) =
        if low < high { (low.log10(), high.log10()) } else { (low.log10() - 0.5, low.log10() + 0.5) };
    let misses = || panel.iter().flat_map(|outcome| outcome.ratios.iter().map(|ratio| 1.0 - ratio));
    let top = (misses().fold(0.0, f64::max) * 10.0).ceil().max(1.0) / 10.0;
    let floor = ((misses().fold(1.0, f64::min) * 10.0).floor() / 10.0).min(top - 0.1);
    let x = |percent: f64| LEFT + (percent.log10() - low) / (high - low) * (WIDTH - LEFT - RIGHT);
    let y = |miss: f64| TOP + (top - miss) / (top - floor) * (HEIGHT - TOP - BOTTOM);
    let bottom = HEIGHT - BOTTOM;

    let name = panel.first().map_or("", |outcome| outcome.trace.as_str());
    let _ = writeln!(
        svg,
        r#"<text x="{LEFT}" y="{}" font-size="13" font-weight="bold">{}</text>"#,
        TOP - 10.0,
        escape(name)
    );
    for step in 0..=5_u8 {
        let miss = floor + (top - floor) * f64::from(step) / 5.0;
        let (at, right) = (y(miss), WIDTH - RIGHT);
        let _ = writeln!(
            svg,
            r##"<line x1="{LEFT}" x2="{right}" y1="{at:.1}" y2="{at:.1}" stroke="#dddddd"/><text x="{}" y="{:.1}" text-anchor="end">{:.0} %</text>"##,
            LEFT - 6.0,
            at + 4.0,
            miss * 100.0,
        );
    }
    for outcome in panel {
        let at = x(outcome.size.percent);
        let _ = writeln!(
            svg,
            r##"<line x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{bottom}" stroke="#eeeeee"/><text x="{at:.1}" y="{}" text-anchor="middle">{}</text>"##,
            bottom + 15.0,
            escape(&outcome.size.text),
        );
    }
    let _ = writeln!(
        svg,
        r##"<rect x="{LEFT}" y="{TOP}" width="{}" height="{}" fill="none" stroke="#888888"/>
<text x="{}" y="{}" text-anchor="middle">cache size, % of the footprint (logarithmic)</text>
<text transform="translate(14 {}) rotate(-90)" text-anchor="middle">miss ratio</text>"##,
        WIDTH - LEFT - RIGHT,
        bottom - TOP,
        f64::midpoint(LEFT, WIDTH - RIGHT),
        bottom + 32.0,
        f64::midpoint(TOP, bottom),
    );
    // Ours is drawn last, on top.
    for subject in (0..STYLES.len()).rev() {
        let (colour, dash) = STYLES[subject];
        let points =
            |outcome: &Outcome| format!("{:.1},{:.1}", x(outcome.size.percent), y(1.0 - outcome.ratios[subject]));
        let points: Vec<String> = panel.iter().map(points).collect();
        let _ = writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="{}" stroke-dasharray="{dash}"/>"#,
            points.join(" "),
            if subject == 0 { 2.5 } else { 1.5 },
        );
    }
}

fn legend(svg: &mut String, width: f64, y: f64) {
    const IN_A_ROW: usize = 5;
    let step = (width - 40.0) / to_f64(IN_A_ROW);
    for (number, (subject, (colour, dash))) in subjects().zip(STYLES).enumerate() {
        let x = 20.0 + to_f64(number % IN_A_ROW) * step;
        let y = y + 16.0 + to_f64(number / IN_A_ROW) * 20.0;
        let _ = writeln!(
            svg,
            r#"<line x1="{x}" x2="{}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dash}"/><text x="{}" y="{}" font-size="10">{subject}</text>"#,
            x + 22.0,
            x + 26.0,
            y + 3.5,
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn to_f64(count: usize) -> f64 {
    count as f64
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
