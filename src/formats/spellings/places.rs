//! Columns of an address: which part, perhaps after (or before) whose address it is.

use super::{Found, WHOSE};
use crate::formats::columns::Role;

/// Whose address, beside the words that phones and mails have as well; longest first where one begins another.
const WHOSE_PLACE: [(&str, &str); 36] = [
    ("registeredoffice", "registered"),
    ("registered", "registered"),
    ("regoffice", "registered"),
    ("reg", "registered"),
    ("residential", "home"),
    ("residence", "home"),
    ("res", "home"),
    ("physical", "home"),
    ("headoffice", "hq"),
    ("mail", "mailing"),
    ("postal", "mailing"),
    ("correspondence", "mailing"),
    ("delivery", "shipping"),
    ("invoice", "billing"),
    ("trading", "site"),
    ("trade", "site"),
    ("operating", "site"),
    ("branch", "site"),
    ("location", "site"),
    ("site", "site"),
    ("store", "site"),
    ("plant", "site"),
    ("facility", "site"),
    ("practice", "site"),
    ("principal", "main"),
    ("legal", "registered"),
    ("property", "home"),
    ("current", ""),
    ("present", ""),
    ("previous", "previous"),
    ("prev", "previous"),
    ("former", "previous"),
    ("old", "previous"),
    ("last", ""),
    ("alt", "other"),
    ("contact", ""),
];

/// Words behind the part that say whose address it is.
const BEHIND: [(&str, &str); 14] = [
    ("sedelegale", "registered"),
    ("sedeoperativa", "site"),
    ("residenza", "home"),
    ("domicilio", "home"),
    ("siegesocial", "registered"),
    ("siege", "registered"),
    ("fiscal", "registered"),
    ("social", "registered"),
    ("comercial", "site"),
    ("particular", "home"),
    ("privat", "home"),
    ("geschaftlich", "work"),
    ("previous", "previous"),
    ("old", "previous"),
];

/// An address column: a part, perhaps with whose it is.
pub(super) fn address(key: &str) -> Option<Found> {
    match key {
        "birthplace"
        | "placeofbirth"
        | "geburtsort"
        | "lieudenaissance"
        | "lieunaissance"
        | "birthcity"
        | "cityofbirth"
        | "luogodinascita"
        | "luogonascita"
        | "lugardenacimiento"
        | "lugarnacimiento"
        | "localdenascimento"
        | "bplace"
        | "pob"
        | "месторождения" => {
            return Some(Found { role: Role::City, group: "birth".to_owned(), label: "birth" });
        }
        // An email address in German and in Outlook's English, unless city and postal code stand beside it.
        _ if key.starts_with("mailad") => return None,
        _ => {}
    }
    if let Some(role) = part(key) {
        return Some(Found::plain(role));
    }
    let whose = WHOSE.iter().chain(&WHOSE_PLACE);
    let before = |(word, label): &(&'static str, &'static str)| found(key.strip_prefix(word)?, word, label);
    let behind = |(word, label): &(&'static str, &'static str)| found(key.strip_suffix(word)?, word, label);
    whose.clone().find_map(before).or_else(|| BEHIND.iter().find_map(behind))
}

fn found(rest: &str, whose: &str, label: &'static str) -> Option<Found> {
    let bare = rest.strip_prefix("address").or_else(|| rest.strip_prefix("addr")).filter(|bare| part(bare).is_some());
    let rest = bare.unwrap_or(rest);
    let single = rest.strip_suffix('1').filter(|bare| part(rest).is_none() && part(bare).is_some());
    let role = part(single.unwrap_or(rest))?;
    Some(Found { role, group: whose.to_owned(), label })
}

/// A part of an address.
pub(super) fn part(key: &str) -> Option<Role> {
    Some(match key {
        "street" | "address" | "addr" | "streetaddress" | "address1" | "addressline1" | "addressline" | "street1"
        | "line1" | "addr1" | "streetaddr" | "streetline1" | "streetaddress1" | "streetname" | "stname" | "strname"
        | "strasse" | "strassehausnummer" | "strassenname" | "adresse" | "adresse1" | "anschrift" | "rue" | "voie"
        | "direccion" | "calle" | "domicilio" | "indirizzo" | "via" | "endereco" | "logradouro" | "straat"
        | "adres" | "ulica" | "gata" | "адрес" | "улица" | "fulladdress" | "住所" | "地址" | "주소" | "العنوان" => {
            Role::Street
        }
        "streetnumber" | "housenumber" | "streetno" | "houseno" | "housenum" | "streetnum" | "hausnummer"
        | "hausnr" | "hnr" | "huisnummer" | "stno" | "stnum" | "numerocivico" | "civico" | "numerovoie" | "numrue"
        | "buildingnumber" | "numerodom" | "дом" => Role::StreetNumber,
        "street2" | "street3" | "address2" | "address3" | "addressline2" | "addressline3" | "line2" | "line3"
        | "addr2" | "addr3" | "streetline2" | "streetaddress2" | "extendedaddress" | "pobox" | "apartment" | "apt"
        | "aptnumber" | "aptno" | "unit" | "unitnumber" | "suite" | "adresszusatz" | "complementadresse"
        | "complement" => Role::StreetMore,
        "city" | "town" | "suburb" | "locality" | "municipality" | "citytown" | "posttown" | "cityname"
        | "townname" | "village" | "cityorvillage" | "ort" | "stadt" | "wohnort" | "gemeinde" | "ville" | "commune"
        | "ciudad" | "poblacion" | "localidad" | "municipio" | "citta" | "comune" | "localita" | "cidade"
        | "plaats" | "woonplaats" | "gemeente" | "stad" | "miasto" | "miejscowosc" | "город" | "市区町村" | "城市"
        | "도시" => Role::City,
        "state" | "region" | "province" | "county" | "stateprovince" | "stateorprovince" | "bundesland"
        | "provincia" | "estado" | "statecode" | "statename" | "stateabbr" | "departement" | "kanton" | "regione"
        | "uf" | "都道府県" | "省" => Role::Region,
        "zip" | "zipcode" | "postcode" | "postalcode" | "zippostalcode" | "postal" | "zip5" | "pcode" | "pc"
        | "plz" | "postleitzahl" | "codepostal" | "cp" | "codigopostal" | "cap" | "cep" | "kodpocztowy"
        | "postnummer" | "индекс" | "郵便番号" | "邮编" | "우편번호" => Role::PostalCode,
        "country" | "countryregion" | "countrycode" | "countryname" | "nation" | "land" | "pays" | "pais" | "paese"
        | "kraj" | "страна" | "国" | "국가" => Role::Country,
        "addresstype" | "addresslabel" => Role::AddressLabel,
        _ => return None,
    })
}
