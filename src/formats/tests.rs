//! Tests across the formats: whole files in, rows out.

mod exports;

use std::io::Cursor;
use std::path::PathBuf;

use proptest::prelude::*;

use super::csv::CsvReader;
use super::*;
use crate::model::record::{Email, ExternalId, Fields, Phone, Social};

fn read(format: Format, bytes: impl Into<Vec<u8>>) -> Result<Vec<Row>> {
    read_mapped(format, bytes, None)
}

fn read_mapped(format: Format, bytes: impl Into<Vec<u8>>, map: Option<&str>) -> Result<Vec<Row>> {
    let options = ReadOptions { source: "test".to_owned(), map: map.map(str::to_owned) };
    let mut reader = open(format, Box::new(Cursor::new(bytes.into())), options)?;
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row()? {
        rows.push(row);
    }
    Ok(rows)
}

fn records(rows: &[Row]) -> Vec<&InputRecord> {
    rows.iter().map(|row| row.record.as_ref().unwrap()).collect()
}

fn codes(rows: &[Row]) -> Vec<(u64, &'static str)> {
    let code = |row: &Row| row.record.as_ref().map_or_else(|error| error.code, |_| "ok");
    rows.iter().map(|row| (row.line, code(row))).collect()
}

fn columns_of(header: &str) -> String {
    let bytes = format!("{header}\n").into_bytes();
    let reader = CsvReader::open(Box::new(Cursor::new(bytes)), ReadOptions::default()).unwrap();
    reader.columns().to_string()
}

#[test]
fn headers_of_known_exports_are_recognised() {
    let cases = [
        (
            "id,given_name,surname,street_number,address_1,address_2,suburb,postcode,state,date_of_birth,soc_sec_id,source",
            "id = source_record_id, given_name = first_name, surname = last_name, street_number = street_number, address_1 = street, address_2 = street_2, suburb = city, postcode = postal_code, state = region, date_of_birth = birthday, soc_sec_id = external_id:soc_sec_id, source = source",
        ),
        (
            "id,full_name,first_and_surname,first_name,surname,dob,birth_place,postcode_fake,gender,occupation",
            "id = source_record_id, full_name = name, first_and_surname = name, first_name = first_name, surname = last_name, dob = birthday, birth_place = city (birth), postcode_fake = postal_code, gender = gender, occupation = job_title",
        ),
        (
            "id,name,addr,phone,city,type",
            "id = source_record_id, name = name, addr = street, phone = phone, city = city; ignored: type",
        ),
        (
            "id,entity_id,first_name,last_name,phone,email,company,title,city,country",
            "id = source_record_id, entity_id = not_evidence, first_name = first_name, last_name = last_name, phone = phone, email = email, company = organization, title = job_title, city = city, country = country",
        ),
        (
            "First Name,Last Name,URL,Email Address,Company,Position,Connected On",
            "First Name = first_name, Last Name = last_name, URL = url, Email Address = email, Company = organization, Position = job_title; ignored: Connected On",
        ),
        (
            "Vorname,Nachname,Firma,Straße,PLZ,Ort,Telefon,Geburtsdatum",
            "Vorname = first_name, Nachname = last_name, Firma = organization, Straße = street, PLZ = postal_code, Ort = city, Telefon = phone, Geburtsdatum = birthday",
        ),
        ("Prénom,Nom,Téléphone", "Prénom = first_name, Nom = last_name, Téléphone = phone"),
        ("Nombre,Apellidos,Correo", "Nombre = first_name, Apellidos = last_name, Correo = email"),
        ("nom,ville", "nom = name, ville = city"),
        (
            "First Name,Middle Name,Last Name,Title,Suffix,Company,Job Title,E-mail Address,E-mail Type,E-mail 2 Address,Home Phone,Business Phone 2,Mobile Phone,Business Street,Business Street 2,Home City,Categories",
            "First Name = first_name, Middle Name = middle_name, Last Name = last_name, Title = name_prefix, Suffix = name_suffix, Company = organization, Job Title = job_title, E-mail Address = email, E-mail Type = email_label, E-mail 2 Address = email, Home Phone = phone (home), Business Phone 2 = phone (work), Mobile Phone = phone (mobile), Business Street = street (work), Business Street 2 = street_2 (work), Home City = city (home), Categories = tags",
        ),
        (
            "Salutation,FirstName,LastName,AccountId,Account Name,MailingStreet,Mailing State/Province,Mailing Zip/Postal Code,MobilePhone,Birthdate,Contact ID",
            "Salutation = name_prefix, FirstName = first_name, LastName = last_name, AccountId = account_id, Account Name = organization, MailingStreet = street (mailing), Mailing State/Province = region (mailing), Mailing Zip/Postal Code = postal_code (mailing), MobilePhone = phone (mobile), Birthdate = birthday, Contact ID = source_record_id",
        ),
    ];
    for (header, want) in cases {
        assert_eq!(columns_of(header), want, "{header}");
    }
}

#[test]
fn headers_are_read_word_by_word() {
    let cases = [
        (
            "voter_reg_num,name_suffix_lbl,res_city_desc,state_cd,full_phone_number,mail_addr1,mail_zipcode,birth_year",
            "voter_reg_num = external_id:voter_id, name_suffix_lbl = name_suffix, res_city_desc = city (home), state_cd = region, full_phone_number = phone, mail_addr1 = street, mail_zipcode = postal_code (mailing), birth_year = birth_year",
        ),
        (
            "fname_c1,fname_c2,lname_c1,lname_c2,by,bm,bd",
            "fname_c1 = first_name, fname_c2 = middle_name, lname_c1 = last_name, lname_c2 = second_last_name, by = birth_year, bm = birth_month, bd = birth_day",
        ),
        (
            "patientFirstName,patientLastName,MRN,homeZip",
            "patientFirstName = first_name, patientLastName = last_name, MRN = external_id:patient_id, homeZip = postal_code (home)",
        ),
        ("forename,day,surname", "forename = first_name, surname = last_name; ignored: day"),
        // An address book often knows no year. Read as a whole date, a day alone said nothing.
        ("name,birthday,birth_month", "name = name, birthday = birthday, birth_month = birth_month"),
        ("given_name,bmonth,bday", "given_name = first_name, bmonth = birth_month, bday = birth_day"),
        ("Vorname,Name,Geburtstag", "Vorname = first_name, Name = name, Geburtstag = birthday"),
        (
            "Vorname,Geburtstag,Geburtsmonat,Geburtsjahr",
            "Vorname = first_name, Geburtstag = birth_day, Geburtsmonat = birth_month, Geburtsjahr = birth_year",
        ),
        (
            "prenom,nom,jour_naissance,mois_naissance,annee_naissance",
            "prenom = first_name, nom = last_name, jour_naissance = birth_day, mois_naissance = birth_month, annee_naissance = birth_year",
        ),
        (
            "name,name_zh,given_name_local,age,sex,maiden_name",
            "name = name, name_zh = name, given_name_local = first_name, age = age, sex = gender, maiden_name = maiden_name",
        ),
        ("customer_id,person_id,match_id,name", "name = name; ignored: customer_id, person_id, match_id"),
    ];
    for (header, want) in cases {
        assert_eq!(columns_of(header), want, "{header}");
    }
}

#[test]
fn businesses_have_people_and_several_addresses() {
    let cases = [
        (
            "legal_name,dba_name,officer1_first_name,officer1_last_name,ceo_email,hq_zip,site_street,ein",
            "legal_name = organization, dba_name = trade_name, officer1_first_name = officer_first_name, officer1_last_name = officer_last_name, ceo_email = email, hq_zip = postal_code (hq), site_street = street (site), ein = external_id:tax_id",
        ),
        (
            "CompanyName,CompanyNumber,RegAddress.AddressLine1,RegAddress.PostTown,contact_name",
            "CompanyName = organization, CompanyNumber = external_id:company_id, RegAddress.AddressLine1 = street (registered), RegAddress.PostTown = city (registered), contact_name = officer",
        ),
        (
            "name,address1,city1,address2,city2,manager",
            "name = name, address1 = street, city1 = city, address2 = street, city2 = city, manager = officer",
        ),
        ("address1,address2,city", "address1 = street, address2 = street_2, city = city"),
        ("owner_name,phone", "owner_name = name, phone = phone"),
        (
            "company,contact_name,job_title,vat",
            "company = organization, contact_name = name, job_title = job_title, vat = external_id:vat_id",
        ),
        (
            "ragione_sociale,indirizzo_sede_legale,cap_sede_operativa,partita_iva",
            "ragione_sociale = organization, indirizzo_sede_legale = street (registered), cap_sede_operativa = postal_code (site), partita_iva = external_id:vat_id",
        ),
    ];
    for (header, want) in cases {
        assert_eq!(columns_of(header), want, "{header}");
    }
}

#[test]
fn a_name_is_what_its_column_holds() {
    let lines = |header: &str, name: fn(usize) -> String| {
        let lines: String = (0..40).map(|n| format!("{},1 Main St\n", name(n))).collect();
        let rows = read(Format::Csv, format!("{header}\n{lines}")).unwrap();
        assert_eq!(rows.len(), 40, "the lines that were looked at are read, too");
        records(&rows)[39].fields.clone()
    };
    let places = |n: usize| format!("{} {n}", ["Hotel Astoria", "Grill on Main", "Citrus", "Fenix"][n % 4]);
    let place = lines("name,addr", places);
    assert_eq!((place.organization.as_deref(), place.name), (Some("Fenix 39"), None));
    let person = lines("name,addr", |n| format!("{} Baker", ["Ann", "Bo", "Cy", "Dee"][n % 4]));
    assert_eq!((person.name.as_deref(), person.organization), (Some("Dee Baker"), None));
    let named = lines("last_name,addr", places);
    assert_eq!((named.last_name.as_deref(), named.organization), (Some("Fenix 39"), None), "a column that says whose");
}

#[test]
fn columns_that_go_together_are_joined() {
    let first = |text: &str| {
        let reader = CsvReader::open(Box::new(Cursor::new(text.to_owned())), ReadOptions::default()).unwrap();
        let row = reader.accept_nameless().next_row().unwrap().unwrap();
        row.record.unwrap().fields
    };
    let birthday = |text: &str| first(text).birthday;
    assert_eq!(birthday("name,by,bm,bd\nAnn,1980,02,3\n").as_deref(), Some("1980-02-03"));
    assert_eq!(birthday("name,day,month,year\nAnn,3,February,80\n").as_deref(), Some("1980-02-03"));
    assert_eq!(birthday("name,dob_d,dob_m,dob_y\nAnn,31,2,1980\n").as_deref(), Some("1980-02"));
    assert_eq!(birthday("name,dob_d,dob_m,dob_y\nAnn,3,2,\n").as_deref(), Some("--02-03"));
    assert_eq!(birthday("name,dob_d,dob_m,dob_y\nAnn,3,,\n"), None);
    assert_eq!(birthday("given_name,bmonth,bday\nAnn,Feb,3\n").as_deref(), Some("--02-03"));
    assert_eq!(birthday("given_name,bmonth,bday\nAnn,Feb,1980-02-03\n").as_deref(), Some("1980-02-03"));
    assert_eq!(
        birthday("name,birthday,birth_month,birth_year\nAnn,3 Feb 1980,2,1980\n").as_deref(),
        Some("3 Feb 1980")
    );
    assert_eq!(birthday("name,dob,birth_year\nAnn,1980-02-03,1981\n").as_deref(), Some("1980-02-03"));
    assert_eq!(birthday("name,age\nAnn,41\n").as_deref(), Some("1959"));
    assert_eq!(birthday("name,age,dob\nAnn,41,\n"), None);
    let born = first("first_name,last_name,maiden_name\nAnn,Lee,Roy\n");
    assert_eq!(born.name.as_deref(), Some("Ann Lee née Roy"));
    assert_eq!(first("first_name,last_name,maiden_name\nAnn,Lee,Lee\n").name, None);
    assert_eq!(first("name,name_native\nWei Wang,王伟\n").name.as_deref(), Some("Wei Wang / 王伟"));
    assert_eq!(first("name,name_native\n,王伟\n").name.as_deref(), Some("王伟"));
    let parts = first("first_name,last_name,first_name_ru,last_name_ru\nIvan,Petrov,Иван,Петров\n");
    assert_eq!(parts.name.as_deref(), Some("Ivan Petrov / Иван Петров"));
    assert_eq!(first("nombre,apellido1,apellido2\nAna,García,Ruiz\n").last_name.as_deref(), Some("García Ruiz"));
    let business = first("company,dba,director_1,director_2\nAcme Ltd,Zed Foods,Ann Lee,\"Roy, Bo\"\n");
    assert_eq!(business.organization.as_deref(), Some("Acme Ltd dba Zed Foods"));
    assert_eq!(business.attributes.as_deref(), Some(r#"{"people":["Ann Lee","Roy, Bo"]}"#));
}

#[test]
fn google_files_of_both_kinds_are_read() {
    let old = "Name,Given Name,Family Name,Group Membership,E-mail 1 - Type,E-mail 1 - Value,Phone 1 - Type,Phone 1 - Value,Organization 1 - Name,Organization 1 - Title,Address 1 - Type,Address 1 - Formatted,Address 1 - Street,Address 1 - City\n\
        Ann Lee,Ann,Lee,* myContacts ::: Family,* Work,a@example.com ::: b@example.com,Mobile,+1 212 555 0123,Acme,CEO,Home,\"1 Main St\nX\",1 Main St,Troy\n";
    let new = "First Name,Last Name,Labels,E-mail 1 - Label,E-mail 1 - Value,Phone 1 - Label,Phone 1 - Value,Organization Name,Organization Title,Address 1 - Label,Address 1 - Street,Address 1 - City\n\
        Ann,Lee,* myContacts ::: Family,* Work,a@example.com ::: b@example.com,Mobile,+1 212 555 0123,Acme,CEO,Home,1 Main St,Troy\n";
    for text in [old, new] {
        let rows = read(Format::Csv, text).unwrap();
        let fields = &records(&rows)[0].fields;
        assert_eq!(fields.first_name.as_deref(), Some("Ann"));
        assert_eq!(fields.groups, ["myContacts", "Family"]);
        let emails: Vec<_> = fields.emails.iter().map(|e| (e.value.as_str(), e.label.as_deref(), e.primary)).collect();
        assert_eq!(emails, [("a@example.com", Some("work"), true), ("b@example.com", Some("work"), true)]);
        assert_eq!(fields.phones[0].label.as_deref(), Some("mobile"));
        assert_eq!(fields.organization.as_deref(), Some("Acme"));
        assert_eq!(fields.job_title.as_deref(), Some("CEO"));
        let address = &fields.addresses[0];
        assert_eq!(address.street.as_deref(), Some("1 Main St"));
        assert_eq!(address.label.as_deref(), Some("home"));
    }
}

#[test]
fn linkedin_preamble_is_skipped() {
    let text = "Notes:\n\"When exporting your connection data, you may notice that some are missing.\"\n\nFirst Name,Last Name,URL,Email Address,Company,Position,Connected On\nAnn,Lee,https://www.linkedin.com/in/x,,Acme,CEO,07 Dec 2025\n";
    let rows = read(Format::Csv, text).unwrap();
    assert_eq!(rows[0].line, 5);
    assert_eq!(records(&rows)[0].fields.last_name.as_deref(), Some("Lee"));
    let rows = read(Format::Csv, "Notes,Name\nx,Ann\n").unwrap();
    assert_eq!(records(&rows)[0].fields.name.as_deref(), Some("Ann"));
}

#[test]
fn bad_lines_are_refused_by_number_and_the_rest_goes_on() {
    let text = "id;first_name;email\r\n1;Ann;a@example.com\r\n2;Bob\r\n\r\n3;\"C\r\nD\";c@example.com\r\n4;E;e@example.com;x\r\n5;;\r\n6;N\0N;\r\n7;Gil;g@example.com";
    let rows = read(Format::Csv, text).unwrap();
    let want = [
        (2, "ok"),
        (3, "cell_count"),
        (5, "ok"),
        (7, "cell_count"),
        (8, "record_empty"),
        (9, "nul_character"),
        (10, "ok"),
    ];
    assert_eq!(codes(&rows), want);
    let error = rows[1].record.as_ref().unwrap_err();
    assert_eq!(error.message, "2 cells where the header has 3; quote cells that contain the delimiter");
    assert_eq!(rows[5].record.as_ref().unwrap_err().field, "first_name");
    assert_eq!(rows[2].record.as_ref().unwrap().fields.first_name.as_deref(), Some("C\r\nD"));
}

#[test]
fn a_huge_line_is_refused_and_costs_no_memory() {
    let mut text = b"name,notes\nAnn,x\n".to_vec();
    text.extend(std::iter::repeat_n(b'y', 3 << 20));
    text.extend_from_slice(b"\nBob,z\n");
    text.extend(std::iter::repeat_n(b',', 100_000));
    text.extend_from_slice(b"\nCy,z\n");
    let rows = read(Format::Csv, text).unwrap();
    assert_eq!(codes(&rows), [(2, "ok"), (3, "line_too_long"), (4, "ok"), (5, "line_too_long"), (6, "ok")]);
    let endless = std::io::Read::take(std::io::repeat(b'"'), 64 << 20);
    let input = std::io::Read::chain(Cursor::new(b"name\n\"a".to_vec()), endless);
    let mut reader = open(Format::Csv, Box::new(input), ReadOptions::default()).unwrap();
    assert_eq!(reader.next_row().unwrap().unwrap().record.unwrap_err().code, "line_too_long");
}

#[test]
fn huge_lines_of_the_other_formats_cost_no_memory_either() {
    let photo = "QUJD".repeat(5 << 20);
    let text = format!(
        "BEGIN:VCARD\nVERSION:3.0\nFN:Ann\nPHOTO;ENCODING=b:{photo}\n {photo}\nTEL:1\nEND:VCARD\nBEGIN:VCARD\nFN:{photo}\nEND:VCARD\n"
    );
    let rows = read(Format::Vcard, text).unwrap();
    assert_eq!(codes(&rows), [(1, "ok"), (8, "value_too_long")]);
    assert_eq!(rows[0].record.as_ref().unwrap().fields.phones.len(), 1);
    let notes = format!("BEGIN:VCARD\nFN:Ann\n{}END:VCARD\n", format!("NOTE:{}\n", "x".repeat(99_999)).repeat(20));
    assert_eq!(codes(&read(Format::Vcard, notes).unwrap()), [(1, "card_too_large")]);
    let json = format!("{{\"name\":\"{photo}\"}}\n{{\"name\":\"Ann\"}}\n");
    assert_eq!(codes(&read(Format::Ndjson, json).unwrap()), [(1, "line_too_long"), (2, "ok")]);
}

#[test]
fn delimiters_and_encodings_are_found() {
    for delimiter in [",", ";", "\t", "|"] {
        let text = ["Vorname", "Nachname", "E-Mail"].join(delimiter)
            + "\n"
            + &["Jörg", "Müller", "j@example.com"].join(delimiter);
        let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [text.clone().into_bytes(), latin, utf16, [b"\xEF\xBB\xBF", text.as_bytes()].concat()] {
            let rows = read(Format::Csv, bytes).unwrap();
            assert_eq!(records(&rows)[0].fields.last_name.as_deref(), Some("Müller"), "{delimiter}");
        }
    }
    let rows = read(Format::Csv, "sep=;\nname;email\nAnn;a@example.com\n").unwrap();
    assert_eq!(codes(&rows), [(3, "ok")]);
    let mixed = [b"name,city\n".as_slice(), &b"Ann,Troy\n".repeat(9000), b"M\xFCller,Ulm\n"].concat();
    let rows = read(Format::Csv, mixed).unwrap();
    let last = rows.last().unwrap();
    assert_eq!(last.record.as_ref().unwrap().fields.name.as_deref(), Some("Müller"));
    assert_eq!(last.issues[0].code, "encoding_mixed");
}

#[test]
fn a_map_overrides_and_names_its_mistakes() {
    let text = "key,who,mail,tax,source\n7,Ann Lee,a@example.com,123,web\n";
    let map = "key=id, who=name,tax=external_id:vat,source=ignore";
    let rows = read_mapped(Format::Csv, text, Some(map)).unwrap();
    let record = records(&rows)[0];
    assert_eq!(record.source, "test");
    assert_eq!(record.source_record_id.as_deref(), Some("7"));
    assert_eq!(record.fields.name.as_deref(), Some("Ann Lee"));
    assert_eq!(record.fields.external_ids[0], ExternalId { system: "vat".into(), id: "123".into() });
    for bad in ["nope=name", "who=nope", "who", "who=id,key=id"] {
        let error = read_mapped(Format::Csv, text, Some(bad)).unwrap_err();
        assert!(matches!(error, Error::Invalid { field, .. } if field == "map"), "{bad}");
    }
    let unknown = read(Format::Csv, "a,b\n1,2\n").unwrap_err().to_string();
    assert!(unknown.contains("no column is known (a, b)"), "{unknown}");
}

#[test]
fn addresses_and_febrl_parts_are_put_together() {
    let text = "street_number,address_1,address_2,suburb,postcode,state,surname,birth_place\n7,wallaby place,delmar,cleveland,2119,sa,green,perth\n";
    let rows = read(Format::Csv, text).unwrap();
    let addresses = &records(&rows)[0].fields.addresses;
    assert_eq!(addresses[0].street.as_deref(), Some("7 wallaby place, delmar"));
    assert_eq!(addresses[0].city.as_deref(), Some("cleveland"));
    assert_eq!(addresses[1].city.as_deref(), Some("perth"));
    assert_eq!(addresses[1].label.as_deref(), Some("birth"));
}

#[test]
fn empty_files_are_refused_with_a_remedy() {
    for format in [Format::Csv, Format::Vcard, Format::Ndjson] {
        for bytes in [&b""[..], b"\xEF\xBB\xBF"] {
            let error = read(format, bytes).unwrap_err();
            assert!(error.to_string().contains("empty; send"), "{error}");
        }
    }
    assert!(read(Format::Vcard, "hello").is_err());
    assert_eq!(read(Format::Csv, "name\n").unwrap(), []);
}

#[test]
fn ndjson_lines_stand_alone() {
    let text = "\u{feff}{\"name\":\"Ann\",\"email\":\"a@example.com\",\"phones\":[\"1\",{\"value\":\"2\",\"label\":null}],\"tags\":null}\n\n{\"name\":\n{\"nam\":\"x\"}\n{\"emails\":[{\"value\":1}]}\n[1]\n{}\n{\"source\":\"a\",\"name\":\"B\",\"source_updated_at\":\"yesterday\"}\n";
    let rows = read(Format::Ndjson, text).unwrap();
    let want = [
        (1, "ok"),
        (3, "json_broken"),
        (4, "field_invalid"),
        (5, "field_invalid"),
        (6, "field_invalid"),
        (7, "record_empty"),
        (8, "time_unreadable"),
    ];
    assert_eq!(codes(&rows), want);
    let first = records(&rows[..1])[0];
    assert_eq!((first.fields.emails.len(), first.fields.phones.len()), (1, 2));
    let field = |index: usize| rows[index].record.as_ref().unwrap_err().field.clone();
    assert_eq!((field(2), field(3), field(6)), ("nam".into(), "emails[0].value".into(), "source_updated_at".into()));
    assert!(rows[1].record.as_ref().unwrap_err().message.contains("column 8"));
    assert_eq!(codes(&read(Format::Ndjson, "[{}]").unwrap()), [(1, "json_array")]);
}

#[test]
fn an_export_line_gives_its_records() {
    let text = r#"{"contact_id":"x","canonical_name":"Ann","records":[{"record_id":"r","source":"gmail","source_record_id":"1","name":"Ann","ingested_at":"2026-01-01T00:00:00Z"},{"record_id":"s","source":"crm","source_record_id":"2","phone":"5"}],"sources":["gmail"],"version":3,"seq":4}"#;
    let rows = read(Format::Ndjson, text).unwrap();
    let sources: Vec<&str> = records(&rows).iter().map(|record| record.source.as_str()).collect();
    assert_eq!(sources, ["gmail", "crm"]);
    assert_eq!(rows[1].record.as_ref().unwrap().source_record_id.as_deref(), Some("2"));
}

#[test]
fn unknown_json_fields_are_named() {
    let cases = [
        (r#"{"nmae":"x"}"#, "nmae"),
        (r#"{"phones":[{"value":"1","lable":"x"}]}"#, "phones[0].lable"),
        (r#"{"name":3}"#, "name"),
        (r#"{"name":"x"} y"#, "body"),
        ("3", "body"),
    ];
    for (text, want) in cases {
        let error = json::from_slice::<RecordInput>(text.as_bytes()).unwrap_err();
        assert!(matches!(&error, Error::Invalid { field, .. } if field == want), "{text}: {error}");
    }
    let secret = json::from_slice::<RecordInput>(br#"{"version":"secret"}"#).unwrap_err().to_string();
    assert!(!secret.contains("secret"), "{secret}");
}

#[test]
fn bounds_of_a_record_hold() {
    let check = |text: String| {
        let input: RecordInput = json::from_slice(text.as_bytes()).unwrap();
        input.into_record("api").map_err(|error| error.to_string())
    };
    let big = "x".repeat(40 * 1024);
    let cases = [
        (format!(r#"{{"name":"{}"}}"#, "x".repeat(3000)), "name: 3000 bytes long"),
        (format!(r#"{{"name":"a","notes":"{big}"}}"#), "notes: "),
        (format!(r#"{{"name":"a","attributes":{{"k":"{big}"}}}}"#), "attributes: "),
        (r#"{"name":"a","attributes":[1]}"#.to_owned(), "attributes: must be a JSON object"),
        (r#"{"emails":[{"value":"a","confidence":2}]}"#.to_owned(), "emails[0].confidence: "),
        (r#"{"name":"a","phones":[{"value":"1\u0000"}]}"#.to_owned(), "phones[0].value: contains a NUL"),
        (r#"{"name":" ","email":""}"#.to_owned(), "record: nothing to recognise"),
        (r#"{"name":"a","source":"a\nb"}"#.to_owned(), "source: "),
        (r#"{"name":"a","last_seen":"soon"}"#.to_owned(), "last_seen: not an RFC 3339"),
        (format!(r#"{{"name":"a","tags":[{}"x"]}}"#, r#""x","#.repeat(600)), "tags: 601 values"),
    ];
    for (text, want) in cases {
        let error = check(text).unwrap_err();
        assert!(error.starts_with(want), "{error}");
    }
    let sorted = check(r#"{"name":"a","attributes":{"b":{"d":1,"c":[2]},"a":null}}"#.into()).unwrap();
    assert_eq!(sorted.fields.attributes.as_deref(), Some(r#"{"a":null,"b":{"c":[2],"d":1}}"#));
    assert_eq!(check(r#"{"name":"a"}"#.into()).unwrap().source, "api");
}

#[test]
fn the_contracts_example_is_accepted() {
    let text = r#"{"source":"gmail","source_record_id":"c-812","source_updated_at":"2026-01-27T10:00:00Z","version":7,
        "name":"Dr. John Q. Smith Jr.","first_name":"John","middle_name":"Q","last_name":"Smith","nickname":"Johnny","name_prefix":"Dr.","name_suffix":"Jr.",
        "emails":[{"value":"John.Smith@Example.com","label":"work","primary":true,"verified":false,"private":false,"confidence":0.9}],
        "phones":[{"value":"(212) 555-0123","label":"mobile","extension":null}],
        "organization":"Example Inc","job_title":"CTO","department":"R&D","company_domain":"example.com","account_id":null,
        "addresses":[{"street":"1 Main St","city":"New York","region":"NY","postal_code":"10001","country":"US","label":"home"}],
        "birthday":"1980-02-03","gender":null,"social":[{"service":"twitter","username":"jsmith"}],"urls":["https://example.com"],
        "external_ids":[{"system":"salesforce","id":"003xx000003SG"}],"tags":["vip"],"groups":["family"],"notes":"...",
        "last_activity_at":"2026-01-20T00:00:00Z","first_seen":null,"last_seen":null,
        "category_code":"A","subcategory_code":"A1_IMMEDIATE_FAMILY","relationship_category":"family","is_me":false,
        "attributes":{"llm_context":{},"communication_stats":{}}}"#;
    let record = json::from_slice::<RecordInput>(text.as_bytes()).unwrap().into_record("api").unwrap();
    assert_eq!(record.source_updated_at.map(json::time_text).as_deref(), Some("2026-01-27T10:00:00Z"));
    assert_eq!(record.version, Some(7));
    let again = serde_json::to_vec(&RecordInput::from_fields(&record.fields)).unwrap();
    let again = json::from_slice::<RecordInput>(&again).unwrap().into_record("api").unwrap();
    assert_eq!(again.fields, record.fields);
}

#[test]
fn vcards_of_every_version_are_mapped() {
    let text = "BEGIN:VCARD\r\nVERSION:2.1\r\nN;QUOTED-PRINTABLE:M=C3=BCller;J=C3=B6rg\r\nTEL;HOME;PREF:1\r\nTEL;WORK;FAX:2\r\nPHOTO;ENCODING=BASE64:\r\nAAAA\r\n BBBB\r\nAAAA==\r\nEMAIL;INTERNET:j@example.com\r\nEND:VCARD\r\n\
        BEGIN:VCARD\nVERSION:3.0\nUID:u-1\nFN:Ann Lee\nN:Lee;Ann;;;\nORG:Acme\\, Inc.;R&D\nitem1.TEL:3\nitem1.X-ABLabel:_$!<School>!$_\nTEL;TYPE=cell,voice:4\nBDAY;X-APPLE-OMIT-YEAR=1604:1604-06-14\nNOTE:one\\ntwo thr\n ee\nCATEGORIES:a,b\nREV:2026-01-27T10:00:00Z\nX-SOCIALPROFILE;type=twitter;x-user=ann:http://twitter.com/ann\nEND:VCARD\n\
        BEGIN:VCARD\nVERSION:4.0\nKIND:group\nFN:Friends\nMEMBER:urn:uuid:1\nEND:VCARD\n\
        BEGIN:VCARD\nVERSION:4.0\nFN:Cut\nBEGIN:VCARD\nVERSION:4.0\nFN:Ben\nTEL;VALUE=uri;PREF=1;TYPE=\"work,voice\":tel:+1-418-555-0154;ext=102\nADR;TYPE=home:;;1 Main St;Troy;NY;12180;US\nEND:VCARD\n\
        BEGIN:VCARD\nFN:Gone";
    let rows = read(Format::Vcard, text).unwrap();
    let want = [(1, "ok"), (12, "ok"), (28, "card_kind"), (34, "card_truncated"), (37, "ok"), (43, "card_truncated")];
    assert_eq!(codes(&rows), want);
    let first = &rows[0].record.as_ref().unwrap().fields;
    assert_eq!((first.last_name.as_deref(), first.first_name.as_deref()), (Some("Müller"), Some("Jörg")));
    let phones: Vec<_> = first.phones.iter().map(|p| (p.label.as_deref(), p.primary)).collect();
    assert_eq!(phones, [(Some("home"), true), (Some("work fax"), false)]);
    assert_eq!(first.emails.len(), 1);
    let second = rows[1].record.as_ref().unwrap();
    assert_eq!(second.source_record_id.as_deref(), Some("u-1"));
    assert_eq!(second.source_updated_at.map(json::time_text).as_deref(), Some("2026-01-27T10:00:00Z"));
    let fields = &second.fields;
    assert_eq!(fields.organization.as_deref(), Some("Acme, Inc."));
    assert_eq!(fields.department.as_deref(), Some("R&D"));
    assert_eq!(fields.birthday.as_deref(), Some("--06-14"));
    assert_eq!(fields.notes.as_deref(), Some("one\ntwo three"));
    assert_eq!(fields.tags, ["a", "b"]);
    assert_eq!(fields.phones[0].label.as_deref(), Some("school"));
    assert_eq!(fields.phones[1].label.as_deref(), Some("mobile"));
    assert_eq!(fields.social, [Social { service: "twitter".into(), username: "ann".into() }]);
    let last = &rows[4].record.as_ref().unwrap().fields;
    assert_eq!(last.phones[0].value, "+1-418-555-0154");
    assert_eq!(last.phones[0].extension.as_deref(), Some("102"));
    assert!(last.phones[0].primary);
    assert_eq!(last.addresses[0].postal_code.as_deref(), Some("12180"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test reads its own data")]
fn copied_vcards_read_as_expected() {
    let cases = [
        ("aosp_v21_japanese_2.vcf", "安藤"),
        ("aosp_v21_multiple_entry.vcf", "安藤"),
        ("aosp_v21_nest.vcf", "nest1"),
        ("ezvcard_gmail_list.vcf", "Arnold"),
        ("ezvcard_outlook_2003.vcf", "John"),
        ("ezvcard_rfc6350.vcf", "Perreault"),
        ("folkerkinzel_cropped_2_1.vcf", ""),
        ("folkerkinzel_greek_ansi.vcf", "Αθήνα"),
        ("folkerkinzel_v3_utf16.vcf", "KMS Außenstelle"),
    ];
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/vcards");
    for (name, part) in cases {
        let rows = read(Format::Vcard, std::fs::read(directory.join(name)).unwrap()).unwrap();
        assert!(format!("{rows:?}").contains(part), "{name}: {rows:#?}");
    }
}

#[test]
#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a count for whoever runs it")]
fn every_shared_vcard_is_read_without_a_panic() {
    let shared = std::env::var_os("SELFSAME_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let mut waiting = vec![shared.join("parsers")];
    let (mut files, mut good, mut bad) = (0, 0, 0);
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(directory) else {
            continue;
        };
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            files += 1;
            match read(Format::Vcard, std::fs::read(&path).unwrap()) {
                Ok(rows) => {
                    let (ok, refused): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.record.is_ok());
                    good += ok.len();
                    bad += refused.len();
                    for row in refused {
                        println!("{}:{} {:?}", path.display(), row.line, row.record);
                    }
                }
                Err(error) => println!("{}: {error}", path.display()),
            }
        }
    }
    println!("{files} files, {good} cards read, {bad} refused");
}

#[test]
fn the_samples_are_good() {
    let csv = include_bytes!("../../data/sample_contacts.csv");
    let rows = read(Format::Csv, csv.to_vec()).unwrap();
    assert_eq!(records(&rows).len(), 40);
    assert!(records(&rows).iter().any(|record| record.source == "crm"));
    assert!(rows.iter().all(|row| row.issues.is_empty()));
    let vcf = include_bytes!("../../data/sample_contacts.vcf");
    assert_eq!(records(&read(Format::Vcard, vcf.to_vec()).unwrap()).len(), 3);
    let ndjson = include_bytes!("../../data/sample_contacts.ndjson");
    assert_eq!(records(&read(Format::Ndjson, ndjson.to_vec()).unwrap()).len(), 3);
}

#[test]
fn cells_come_with_each_line() {
    let text = "id,name\n1,Ann\n2\n3,Cy\n";
    let mut reader = CsvReader::open(Box::new(Cursor::new(text)), ReadOptions::default()).unwrap();
    assert_eq!(reader.header(), ["id", "name"]);
    let mut cells = Vec::new();
    while let Some(next) = reader.next_with_cells().unwrap() {
        cells.push(next.cells);
    }
    assert_eq!(cells, [vec!["1", "Ann"], vec!["2"], vec!["3", "Cy"]]);
    let nameless = "id,name,dob\n1,,1980-02-03\n";
    for (accept, good) in [(false, false), (true, true)] {
        let input = Box::new(Cursor::new(nameless));
        let mut reader = CsvReader::open(input, ReadOptions::default()).unwrap();
        if accept {
            reader = reader.accept_nameless();
        }
        assert_eq!(reader.next_row().unwrap().unwrap().record.is_ok(), good);
    }
}

/// Bytes that look enough like a file to get past its first line.
fn file_like(start: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<Vec<u8>>(),
        "\\PC{0,20}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            ",",
            ";",
            "\"",
            "\n",
            "\r\n",
            "\0",
            " ::: ",
            "{",
            "}",
            "\"name\":\"x\"",
            "BEGIN:VCARD\n",
            "END:VCARD\n",
            "N:a;b\n",
            "TEL;TYPE=",
            "BDAY:",
            "BDAY;VALUE=date:",
            "REV:",
            "ADR;ENCODING=QUOTED-PRINTABLE:=",
            ":",
            "=",
            "=\r\n",
            " ",
            "9999999999",
            "20260127T100000Z",
            "é",
            "\u{fffd}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..30).prop_map(move |pieces| [start.as_bytes().to_vec(), pieces.concat()].concat())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
        for format in [Format::Csv, Format::Vcard, Format::Ndjson] {
            let _ = read(format, bytes.clone());
        }
        let _ = Format::from_first_bytes(&bytes);
    }

    #[test]
    fn almost_files_never_panic(
        csv in file_like("name,email,phone,birthday,street\n"),
        vcard in file_like("BEGIN:VCARD\nVERSION:2.1\n"),
        vcard4 in file_like("BEGIN:VCARD\nVERSION:4.0\n"),
        json in file_like("{\"name\":\"a\"}\n{"),
    ) {
        let _ = read(Format::Csv, csv);
        let _ = read(Format::Vcard, vcard);
        let _ = read(Format::Vcard, vcard4);
        let _ = read(Format::Ndjson, json);
    }

    #[test]
    fn lines_are_numbered_as_an_editor_does(names in prop::collection::vec("[a-z]{1,8}(\n[a-z]{1,3})?", 1..20), crlf: bool) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = format!("name{end}");
        let mut wanted = Vec::new();
        let mut line = 2;
        for name in &names {
            wanted.push(line);
            text.push_str(&format!("\"{name}\"{end}"));
            line += 1 + name.matches('\n').count() as u64;
        }
        let rows = read(Format::Csv, text).unwrap();
        prop_assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn json_round_trip(
        name in "\\PC{1,30}", labels in prop::collection::vec(prop::option::of("[a-z]{1,9}"), 0..4),
        primary: bool, confidence in prop::option::of(0.0_f32..1.0), tags in prop::collection::vec("\\PC{1,9}", 0..4), me in prop::option::of(any::<bool>()),
    ) {
        prop_assume!(!name.trim().is_empty());
        let emails = labels.iter().map(|label| Email { value: "a@example.com".into(), label: label.clone(), primary, confidence, ..Email::default() });
        let phones = labels.iter().map(|label| Phone { value: "5".into(), extension: label.clone(), verified: primary, private: !primary, ..Phone::default() });
        let fields = Fields {
            name: Some(name),
            emails: emails.collect(),
            phones: phones.collect(),
            tags: tags.into_iter().filter(|tag| !tag.trim().is_empty()).collect(),
            is_me: me,
            attributes: Some("{\"a\":{\"b\":[1,2.5,null]}}".into()),
            ..Fields::default()
        };
        let text = serde_json::to_vec(&RecordInput::from_fields(&fields)).unwrap();
        let back = json::from_slice::<RecordInput>(&text).unwrap().into_record("s").unwrap();
        prop_assert_eq!(back.fields, fields);
    }
}
