//! A pair's weight as a waterfall: one line a comparison, from the prior to the sum. `match` and `evaluate` show it.

use serde_json::Value;

use crate::cli::out;

/// Characters of the longest bar.
const BAR_MAX: usize = 24;
/// Bits that fill the longest bar.
const BAR_BITS: f64 = 24.0;

/// The table of a value with `explanation` and `weight_bits`, as the API gives them; `sides` head the columns of values.
/// `None` without an explanation.
pub(super) fn table(explained: &Value, score: f64, sides: [&str; 2]) -> Option<comfy_table::Table> {
    let parts = explained.get("explanation").and_then(Value::as_array)?;
    let total = explained.get("weight_bits").and_then(Value::as_f64).unwrap_or(0.0);
    let [left, right] = sides;
    let mut table = out::table(&["comparison", "level", "bits", "against < | > for", left, right]);
    if !parts.iter().any(|part| text(part, "comparison") == "prior") {
        let prior = total - parts.iter().map(bits).sum::<f64>();
        table.add_row(line(["prior", "any two records"], prior, [String::new(), String::new()]));
    }
    for part in parts {
        let names = [text(part, "comparison"), text(part, "level")];
        let values = [text(part, "left"), text(part, "right")];
        table.add_row(line(names.each_ref().map(String::as_str), bits(part), values));
    }
    table.add_row(line(["sum", &format!("score {score:.4}")], total, [String::new(), String::new()]));
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    Some(table)
}

fn line([comparison, level]: [&str; 2], weight: f64, [left, right]: [String; 2]) -> Vec<String> {
    vec![comparison.into(), level.into(), signed(weight), bar(weight), left, right]
}

fn bits(part: &Value) -> f64 {
    part.get("weight_bits").and_then(Value::as_f64).unwrap_or(0.0)
}

/// Bits with their sign.
pub(super) fn signed(bits: f64) -> String {
    format!("{bits:+.2}")
}

/// A bar that grows with the bits: `<<<<` against, `>>>>` for.
fn bar(bits: f64) -> String {
    let share = if bits.is_nan() { 0.0 } else { (bits.abs() / BAR_BITS).min(1.0) };
    let cells = (1..=BAR_MAX).filter(|cell| as_f64(*cell) <= (share * as_f64(BAR_MAX)).round()).count();
    (if bits < 0.0 { "<" } else { ">" }).repeat(cells)
}

fn as_f64(small: usize) -> f64 {
    f64::from(u32::try_from(small).unwrap_or(u32::MAX))
}

/// A field as safe text; an array as its parts, everything else as JSON.
pub(super) fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => out::clean(text),
        Some(Value::Array(parts)) => {
            let parts: Vec<String> =
                parts.iter().map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
            out::clean(&parts.join(", "))
        }
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_))) => out::clean(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_the_evidence() {
        for (bits, text) in [(0.0, ""), (3.0, ">>>"), (-2.2, "<<"), (-0.2, "")] {
            assert_eq!(bar(bits), text, "{bits}");
        }
        assert_eq!(bar(1000.0).len(), BAR_MAX);
        assert_eq!(bar(f64::NAN), "");
    }
}
