//! Plots as inline SVG: no scripts, no fonts or images from elsewhere, readable when printed without colour.

use std::fmt::Write as _;

use crate::cli::report::escape;

/// Size of a plot, and of the room for its axes, in the SVG's own units.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 52.0;
const BOTTOM: f64 = 44.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;

/// An axis: what it shows and from where to where.
#[derive(Clone, Copy)]
pub(super) struct Axis<'a> {
    /// The quantity.
    pub(super) title: &'a str,
    /// Its value at the origin.
    pub(super) from: f64,
    /// Its value at the other end; above `from`.
    pub(super) to: f64,
    /// Where labelled lines are, and their labels.
    pub(super) ticks: &'a [(f64, String)],
}

impl Axis<'_> {
    /// A value as a share of the axis, held within it.
    fn share(&self, value: f64) -> f64 {
        let share = (value - self.from) / (self.to - self.from);
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// A plot while it is drawn.
pub(super) struct Plot<'a> {
    x: Axis<'a>,
    y: Axis<'a>,
    svg: String,
}

impl<'a> Plot<'a> {
    /// Draws the axes.
    pub(super) fn new(label: &str, x: Axis<'a>, y: Axis<'a>) -> Self {
        let svg = format!(
            "<svg class=plot viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{}\" font-size=\"11\">",
            escape(label)
        );
        let mut plot = Self { x, y, svg };
        plot.axes();
        plot
    }

    fn axes(&mut self) {
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, label) in self.x.ticks {
            let x = self.at_x(*value);
            let _ = write!(
                self.svg,
                "<path d=\"M{x:.1} {TOP}V{floor}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=middle>{}</text>",
                floor + 15.0,
                escape(label)
            );
        }
        for (value, label) in self.y.ticks {
            let y = self.at_y(*value);
            let _ = write!(
                self.svg,
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=end>{}</text>",
                LEFT - 5.0,
                y + 4.0,
                escape(label)
            );
        }
        let (middle, centre) = (LEFT.midpoint(right), TOP.midpoint(floor));
        let _ = write!(
            self.svg,
            "<path d=\"M{LEFT} {TOP}V{floor}H{right}\" fill=none stroke=\"#222\"/>\
             <text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=middle>{}</text>\
             <text transform=\"translate(13 {centre:.1}) rotate(-90)\" text-anchor=middle>{}</text>",
            HEIGHT - 8.0,
            escape(self.x.title),
            escape(self.y.title)
        );
    }

    fn at_x(&self, value: f64) -> f64 {
        LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT)
    }

    fn at_y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.share(value) * (HEIGHT - BOTTOM - TOP)
    }

    /// A line through points; `style` is SVG attributes.
    pub(super) fn line(&mut self, points: &[(f64, f64)], style: &str) {
        let mut path = String::new();
        for (x, y) in points {
            let _ = write!(path, "{:.1},{:.1} ", self.at_x(*x), self.at_y(*y));
        }
        let _ = write!(self.svg, "<polyline points=\"{}\" fill=none {style}/>", path.trim_end());
    }

    /// A dot with a text that shows when one points at it.
    pub(super) fn dot(&mut self, (x, y): (f64, f64), style: &str, said: &str) {
        let _ = write!(
            self.svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=4 {style}><title>{}</title></circle>",
            self.at_x(x),
            self.at_y(y),
            escape(said)
        );
    }

    /// A bar from the floor.
    pub(super) fn bar(&mut self, (from, to): (f64, f64), height: f64, style: &str, said: &str) {
        let (left, right, top) = (self.at_x(from), self.at_x(to), self.at_y(height));
        let _ = write!(
            self.svg,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" {style}><title>{}</title></rect>",
            right - left,
            HEIGHT - BOTTOM - top,
            escape(said)
        );
    }

    /// The finished picture.
    pub(super) fn finish(self) -> String {
        self.svg + "</svg>"
    }
}

/// Ticks at equal steps, labelled with their values.
pub(super) fn ticks(from: i32, to: i32, step: i32, label: impl Fn(i32) -> (f64, String)) -> Vec<(f64, String)> {
    (0..).map(|n| from + n * step.max(1)).take_while(|value| *value <= to).map(label).collect()
}

/// One bar of a waterfall: from the sum before a part to the sum after it, on a scale of bits from `from` to `to`.
pub(super) fn step((from, to): (f64, f64), before: f64, after: f64) -> String {
    const LENGTH: f64 = 220.0;
    let scale = Axis { title: "", from, to, ticks: &[] };
    let at = |bits: f64| scale.share(bits) * LENGTH;
    let (left, right) = (at(before.min(after)), at(before.max(after)));
    let fill = if after < before { "#c0392b" } else { "#2471a3" };
    format!(
        "<svg width=220 height=14 viewBox=\"0 0 {LENGTH} 14\" aria-hidden=true><path d=\"M{zero:.1} 0V14\" stroke=\"#999\"/>\
         <rect x=\"{left:.1}\" y=2 width=\"{:.1}\" height=10 fill=\"{fill}\"/></svg>",
        (right - left).max(1.0),
        zero = at(0.0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_land_within_the_axes() {
        let ticks = ticks(0, 100, 50, |percent| (f64::from(percent) / 100.0, percent.to_string()));
        let axis = Axis { title: "a < b", from: 0.0, to: 1.0, ticks: &ticks };
        let mut plot = Plot::new("x", axis, axis);
        plot.line(&[(0.0, 0.0), (1.0, 1.0), (9.0, f64::NAN)], "stroke=red");
        let svg = plot.finish();
        assert!(svg.contains("52.0,276.0 448.0,12.0 448.0,276.0"), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.starts_with("<svg") && svg.ends_with("</svg>"));
    }

    #[test]
    fn a_step_down_is_another_colour_and_never_invisible() {
        let (up, down) = (step((-10.0, 10.0), 0.0, 5.0), step((-10.0, 10.0), 5.0, 5.0 - 1e-6));
        assert!(up.contains("x=\"110.0\" y=2 width=\"55.0\"") && down.contains("width=\"1.0\""), "{up} {down}");
        assert!(up.contains("#2471a3") && down.contains("#c0392b"));
    }
}
