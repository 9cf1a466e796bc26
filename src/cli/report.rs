//! `dedupe --report`: one HTML page without scripts or outside assets.
//!
//! It shows what a person would check first: the largest clusters, the least sure ones, and the most
//! alike records that were kept apart. It holds personal data, like its input.

use std::fmt::Write as _;
use std::io::Write;

use crate::cli::dedupe::Clustered;
use crate::cli::out;
use crate::cli::sheet::Sheet;

/// Clusters and pairs shown in each part.
const SHOWN_MAX: usize = 50;

/// Records shown of one cluster.
const MEMBERS_SHOWN_MAX: usize = 25;

/// How the pages look.
pub(super) const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:.5em 0 1.5em;font-size:13px;display:block;overflow-x:auto}\
td,th{border:1px solid #ccc;padding:.2em .5em;text-align:left;vertical-align:top}th{background:#f2f2f2}\
h3{margin-bottom:0}.n{text-align:right}";

/// Writes the page.
pub(super) fn write(out: &mut dyn Write, file: &str, sheet: &Sheet, result: &Clustered) -> std::io::Result<()> {
    let file = escape(file);
    write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>selfsame: {file}</title><style>{STYLE}</style>\
         <h1>Who is who in {file}</h1><p>{} records, {} clusters. This page holds personal data.</p>",
        out::count(sheet.chosen.len() as u64),
        out::count(result.members.len() as u64)
    )?;
    out.write_all(sizes(result).as_bytes())?;
    let page = Page { sheet, result };
    out.write_all(page.clusters("Largest clusters", |cluster| std::cmp::Reverse(cluster.len())).as_bytes())?;
    out.write_all(page.clusters("Least sure clusters", |cluster| page.least(cluster)).as_bytes())?;
    out.write_all(page.kept_apart().as_bytes())?;
    out.write_all(b"</html>\n")
}

/// How many clusters there are of each size.
fn sizes(result: &Clustered) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for cluster in &result.members {
        *counts.entry(cluster.len()).or_insert(0_u64) += 1;
    }
    let mut html = String::from("<h2>Sizes</h2><table><tr><th>records in a cluster<th>clusters");
    for (size, count) in counts {
        let _ = write!(html, "<tr><td class=n>{size}<td class=n>{}", out::count(count));
    }
    html + "</table>"
}

struct Page<'a> {
    sheet: &'a Sheet,
    result: &'a Clustered,
}

impl Page<'_> {
    /// The least sure place in a cluster, in thousandths, for ordering.
    fn least(&self, cluster: &[u32]) -> u32 {
        let least = cluster.iter().map(|record| self.result.sure(*record)).fold(1.0, f64::min);
        (0..1000).find(|thousandth| f64::from(*thousandth) >= least * 1000.0).unwrap_or(1000)
    }

    fn clusters<K: Ord>(&self, title: &str, key: impl Fn(&[u32]) -> K) -> String {
        let mut several: Vec<&Vec<u32>> = self.result.members.iter().filter(|cluster| cluster.len() > 1).collect();
        several.sort_by_key(|cluster| key(cluster));
        let mut html = format!("<h2>{title}</h2>");
        for cluster in several.into_iter().take(SHOWN_MAX) {
            html.push_str(&self.cluster(cluster));
        }
        html
    }

    fn cluster(&self, cluster: &[u32]) -> String {
        let number = cluster.first().map_or(0, |record| self.result.cluster(*record));
        let mut html = format!("<h3>Cluster {number}, {} records</h3><table>{}", cluster.len(), self.head());
        for record in cluster.iter().take(MEMBERS_SHOWN_MAX) {
            html.push_str(&self.record(*record, &format!("{:.4}", self.result.sure(*record))));
        }
        html + "</table>"
    }

    fn head(&self) -> String {
        let mut html = String::from("<tr><th>line<th>sure");
        for name in &self.sheet.header {
            let _ = write!(html, "<th>{}", escape(name));
        }
        html
    }

    fn record(&self, record: u32, sure: &str) -> String {
        let line = self.sheet.line_of(record);
        let mut html = format!("<tr><td class=n>{line}<td class=n>{sure}");
        for cell in self.sheet.cells.get(line).into_iter().flatten() {
            let _ = write!(html, "<td>{}", escape(cell));
        }
        html
    }

    fn kept_apart(&self) -> String {
        let result = self.result;
        let mut apart: Vec<_> =
            result.pairs.iter().filter(|pair| result.cluster(pair.left) != result.cluster(pair.right)).collect();
        apart.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        let mut html = String::from("<h2>Most alike, but kept apart</h2>");
        for pair in apart.into_iter().take(SHOWN_MAX) {
            let sure = format!("{:.4}", pair.probability);
            let _ = write!(
                html,
                "<table>{}{}{}</table>",
                self.head(),
                self.record(pair.left, &sure),
                self.record(pair.right, "")
            );
        }
        html
    }
}

/// Text for HTML.
pub(super) fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_become_markup() {
        assert_eq!(escape("<script>\"&\""), "&lt;script&gt;&quot;&amp;&quot;");
    }
}
