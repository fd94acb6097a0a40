//! The plot: rate against length of content, both axes logarithmic, the latter from zero.

use std::error::Error;
use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

/// Longest content in the plot, in bytes.
pub(crate) const LONGEST: usize = 4096;
/// Lengths up to about this one lie evenly spaced, in bytes.
const EVEN: f64 = 64.0;
/// Lengths with a label.
const LABELLED: [usize; 11] = [0, 16, 42, 64, 106, 170, 256, 512, 1024, 2048, LONGEST];

/// Colours that the colour-blind can tell apart (Okabe and Ito): ours, best first, and the peers'.
const OURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(0, 0, 0),
    RGBColor(120, 120, 120),
    RGBColor(180, 180, 180),
];
const PEERS: [RGBColor; 4] =
    [RGBColor(230, 159, 0), RGBColor(213, 94, 0), RGBColor(204, 121, 167), RGBColor(140, 60, 120)];

/// One curve.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    name: String,
    is_ours: bool,
    /// Length of content in bytes, and attempts per CPU second.
    pub(crate) points: Vec<(usize, f64)>,
}

impl Series {
    pub(crate) fn ours(kernel: &str) -> Self {
        Self { name: format!("nipworker, {kernel}"), is_ours: true, points: Vec::new() }
    }

    pub(crate) fn peer(name: &str) -> Self {
        Self { name: name.to_owned(), is_ours: false, points: Vec::new() }
    }
}

/// The axis of the lengths: even up to [`EVEN`], logarithmic beyond.
struct Lengths;

impl Ranged for Lengths {
    type FormatOption = DefaultFormatting;
    type ValueType = usize;

    fn map(&self, length: &usize, (from, to): (i32, i32)) -> i32 {
        let place = |length: usize| (1.0 + length as f64 / EVEN).log2();
        from + (place(*length) / place(LONGEST) * f64::from(to - from)) as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<usize> {
        if hint.weight().allow_light_points() { Vec::new() } else { LABELLED.to_vec() }
    }

    fn range(&self) -> Range<usize> {
        0..LONGEST
    }
}

/// Draws the curves as SVG.
///
/// # Errors
///
/// As the drawing library's.
pub(crate) fn draw(series: &[Series], title: &str) -> Result<String, Box<dyn Error>> {
    let rates = || series.iter().flat_map(|series| &series.points).map(|(_, rate)| rate / 1e6);
    // A little air above and below.
    let lowest = rates().fold(f64::INFINITY, f64::min) / 1.5;
    let highest = rates().fold(0.0, f64::max) * 1.5;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (1000, 640)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .margin_right(24)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(Lengths, (lowest..highest).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("length of content, bytes")
            .y_desc("million hashes per thread CPU second")
            .y_label_formatter(&|rate| format!("{rate}"))
            .label_style(("sans-serif", 14))
            .draw()?;
        let (mut ours, mut peers) = (OURS.iter().cycle(), PEERS.iter().cycle());
        for series in series {
            let colours = if series.is_ours { &mut ours } else { &mut peers };
            let line = colours.next().unwrap_or(&BLACK).stroke_width(2);
            let points = series.points.iter().map(|(length, rate)| (*length, rate / 1e6));
            chart
                .draw_series(LineSeries::new(points, line))?
                .label(&series.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], line));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 14))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}
