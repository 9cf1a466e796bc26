//! What is exported reads back, and is safe to open in a spreadsheet.

use super::{read, records};
use crate::formats::{Format, write};
use crate::model::record::{Address, Email, Fields, Phone};

fn full() -> Fields {
    let some = |text: &str| Some(text.to_owned());
    Fields {
        name: some("Dr. Jörg, \"JM\" Müller; Jr."),
        first_name: some("=Jörg"),
        last_name: some("Müller"),
        emails: vec![
            Email { value: "a@example.com".into(), ..Email::default() },
            Email { value: "b@example.com".into(), ..Email::default() },
        ],
        phones: vec![Phone { value: "+1 212 555 0123".into(), label: some("mobile"), ..Phone::default() }],
        organization: some("Example, Inc."),
        addresses: vec![
            Address { street: some("1 Main St"), city: some("Troy"), label: some("home"), ..Address::default() },
            Address { city: some("Ulm"), country: some("DE"), ..Address::default() },
        ],
        birthday: some("1980-02-03"),
        notes: some("two\nlines, and a long text that must be folded because it has more than 75 bytes: äöü"),
        tags: vec!["vip".into(), "a,b".into()],
        ..Fields::default()
    }
}

#[test]
fn csv_export_reads_back_and_runs_no_formula() {
    let fields = full();
    let mut out = Vec::new();
    write::csv_header(&mut out);
    write::csv_contact(&mut out, &write::ExportContact { contact_id: "c-1", fields: &fields });
    let text = String::from_utf8(out.clone()).unwrap();
    assert!(text.contains(",'=Jörg,") && text.contains(",+1 212 555 0123,"), "{text}");
    let back = read(Format::Csv, out).unwrap();
    let back = records(&back)[0];
    assert_eq!(back.fields.first_name.as_deref(), Some("=Jörg"));
    assert_eq!(back.fields.name, fields.name);
    assert_eq!(back.fields.emails.len(), 2);
    assert_eq!(back.fields.addresses.len(), 2);
    assert_eq!(back.fields.addresses[1].country.as_deref(), Some("DE"));
    let mut line = Vec::new();
    let cells = ["=1+1", "+SUM(A1)", "-1", "@x", "\tx", "+49 30 123", "+1(2)-3.4", "+1|cmd"];
    write::csv_line(&mut line, cells.iter().map(|cell| (*cell).to_owned()));
    let line = String::from_utf8(line).unwrap();
    assert_eq!(line, "'=1+1,'+SUM(A1),'-1,'@x,\"'\tx\",+49 30 123,+1(2)-3.4,'+1|cmd\r\n");
}

#[test]
fn vcard_export_is_folded_and_reads_back() {
    let fields = full();
    let mut out = Vec::new();
    write::vcard_contact(&mut out, &write::ExportContact { contact_id: "c-1", fields: &fields });
    let text = String::from_utf8(out.clone()).unwrap();
    assert!(text.lines().all(|line| line.len() <= 75), "{text}");
    let back = read(Format::Vcard, out).unwrap();
    let back = records(&back)[0];
    assert_eq!(back.source_record_id.as_deref(), Some("c-1"));
    for (left, right) in [
        (&back.fields.name, &fields.name),
        (&back.fields.first_name, &fields.first_name),
        (&back.fields.notes, &fields.notes),
        (&back.fields.birthday, &fields.birthday),
        (&back.fields.organization, &fields.organization),
    ] {
        assert_eq!(left, right);
    }
    assert_eq!(back.fields.addresses, fields.addresses);
    assert_eq!(back.fields.phones, fields.phones);
    assert_eq!(back.fields.tags, fields.tags);
}
