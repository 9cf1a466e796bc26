//! The spellings of column names we know: Google (old and new), Outlook, LinkedIn, Salesforce, public
//! data sets, and plain words in several languages.
//!
//! A header is squeezed to lower-case letters and digits ("E-mail 1 - Value" is `email1value`), looked
//! up as a whole, then taken apart: which thing, which number, which part of it. What is not known so is read word by
//! word ([`words`]); ids of people and businesses are in [`ids`], parts of a date of birth in [`birth`]. What
//! columns of businesses are called is in [`accounts`].

pub(super) mod accounts;
pub(super) mod birth;
pub(super) mod ids;
mod names;
mod places;
mod words;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::formats::columns::Role;

/// What a header means by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub role: Role,
    /// Which of several; empty: the default one.
    pub group: String,
    /// The label its values get; empty: none.
    pub label: &'static str,
}

impl Default for Found {
    fn default() -> Self {
        Self { role: Role::Ignored, group: String::new(), label: "" }
    }
}

impl Found {
    fn plain(role: Role) -> Self {
        Self { role, ..Self::default() }
    }
}

/// Words at the end of a header that say how the value was made, not what it is.
const QUALIFIERS: [&str; 14] = [
    "clean",
    "cleaned",
    "raw",
    "original",
    "orig",
    "norm",
    "normalized",
    "normalised",
    "std",
    "fake",
    "synthetic",
    "masked",
    "text",
    "str",
];

/// A header as lower-case letters and digits only, without accents.
pub(super) fn key(header: &str) -> String {
    let folded = header.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase);
    let mut key = String::new();
    for c in folded.filter(|c| c.is_alphanumeric()).take(100) {
        match c {
            'ß' => key.push_str("ss"),
            'ł' => key.push('l'),
            'ø' => key.push('o'),
            other => key.push(other),
        }
    }
    key
}

/// What a header means; `None` when we do not know it.
pub(super) fn find(header: &str) -> Option<Found> {
    let whole = by_key(&key(header)).or_else(|| {
        let words: Vec<&str> = header.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let (last, rest) = words.split_last()?;
        let qualifier = QUALIFIERS.contains(&last.to_ascii_lowercase().as_str());
        (qualifier && !rest.is_empty()).then(|| by_key(&key(&rest.concat()))).flatten()
    });
    whole.or_else(|| words::find(header))
}

fn by_key(key: &str) -> Option<Found> {
    identity(key)
        .or_else(|| names::listed(key))
        .or_else(|| name(key))
        .or_else(|| work(key))
        .or_else(|| other(key))
        .or_else(|| birth::part(key))
        .or_else(|| ids::system(key))
        .map(Found::plain)
        .or_else(|| places::address(key))
        .or_else(|| numbered(key))
        .or_else(|| phone(key, ""))
        .or_else(|| email(key, ""))
        .or_else(|| ignorable(key))
}

/// Ids, labels and bookkeeping.
fn identity(key: &str) -> Option<Role> {
    Some(match key {
        "id" | "recordid" | "uid" | "externalid" | "sourcerecordid" | "contactid" => Role::RecordId,
        "entityid" | "clusterid" | "cluster" | "label" | "recordindex" => Role::NotEvidence,
        "source" => Role::Source,
        "sourceupdatedat" | "updatedat" | "lastmodified" | "lastmodifieddate" | "modifiedat" | "modified"
        | "lastupdated" | "rev" => Role::UpdatedAt,
        "version" => Role::Version,
        "accountid" => Role::AccountId,
        "isme" => Role::IsMe,
        _ => return None,
    })
}

/// Parts of a person's name.
fn name(key: &str) -> Option<Role> {
    Some(match key {
        "firstname" | "givenname" | "forename" | "fname" | "first" | "given" | "vorname" | "rufname" | "prenom"
        | "primernombre" | "voornaam" | "imie" | "fornamn" | "fornavn" | "etunimi" | "имя" | "namefirst"
        | "christianname" | "firstnames" | "givennames" | "forenames" | "forename1" | "vornamen" | "prenoms"
        | "nombres" | "nombredepila" | "primeironome" => Role::FirstName,
        "middlename" | "middle" | "middleinitial" | "mi" | "additionalname" | "middlenames" | "secondname"
        | "segundonombre" | "отчество" | "zweitername" | "mname" | "midname" | "minit" | "middleinit"
        | "patronymic" | "secondfirstname" | "othernames" | "othergivennames" => Role::MiddleName,
        "lastname" | "surname" | "familyname" | "lname" | "last" | "family" | "nachname" | "familienname" | "nom"
        | "nomdefamille" | "nomfamille" | "nomusuel" | "apellido1" | "primerapellido" | "apellidopaterno"
        | "paterno" | "apaterno" | "paternalsurname" | "lastnames" | "surnames" | "familien" | "zuname" | "sname"
        | "apellido" | "apellidos" | "cognome" | "sobrenome" | "apelido" | "achternaam" | "nazwisko" | "efternamn"
        | "etternavn" | "sukunimi" | "фамилия" | "namelast" => Role::LastName,
        "nickname" | "knownas" | "preferredname" | "spitzname" | "surnom" | "apodo" | "alias" | "aliases" | "aka"
        | "akas" | "alsoknownas" | "aliasname" | "othername" | "alternatename" | "alternatenames" | "goesby" => {
            Role::Nickname
        }
        "nameprefix" | "prefix" | "salutation" | "honorific" | "honorificprefix" | "anrede" | "titel" | "civilite"
        | "tratamiento" => Role::NamePrefix,
        "namesuffix" | "suffix" | "honorificsuffix" | "namenszusatz" => Role::NameSuffix,
        _ => return None,
    })
}

/// Work.
fn work(key: &str) -> Option<Role> {
    Some(match key {
        "jobtitle" | "title" | "position" | "job" | "occupation" | "profession" | "role" | "organizationtitle"
        | "organization1title" | "designation" | "beruf" | "funktion" | "poste" | "fonction" | "cargo" | "puesto"
        | "должность" => Role::JobTitle,
        "department"
        | "dept"
        | "organizationdepartment"
        | "organization1department"
        | "abteilung"
        | "departement"
        | "departamento" => Role::Department,
        "companydomain" | "domain" | "emaildomain" | "websitedomain" => Role::CompanyDomain,
        _ => return None,
    })
}

/// Birthday, gender, pages, handles, texts.
fn other(key: &str) -> Option<Role> {
    Some(match key {
        "birthday"
        | "dob"
        | "dateofbirth"
        | "birthdate"
        | "bday"
        | "borndate"
        | "born"
        | "dateob"
        | "birthdt"
        | "dobdate"
        | "datebirth"
        | "geburtsdatum"
        | "geburtstag"
        | "datedenaissance"
        | "datenaissance"
        | "fechadenacimiento"
        | "fechanacimiento"
        | "datadinascita"
        | "datadenascimento"
        | "datanascita"
        | "datanascimento"
        | "fechanac"
        | "datenaiss"
        | "gebdatum"
        | "fodelsedatum"
        | "dataurodzenia"
        | "生年月日"
        | "出生日期"
        | "geboortedatum"
        | "датарождения" => Role::Birthday,
        "gender" | "sex" | "gendercode" | "sexcode" | "пол" | "性別" | "性别" | "성별" | "geslacht" | "kon"
        | "plec" | "geschlecht" | "sexe" | "genre" | "genero" | "sexo" | "sesso" => Role::Gender,
        "website" | "url" | "web" | "webpage" | "homepage" | "webseite" | "siteweb" | "urls" | "personalwebpage"
        | "companywebsite" | "uri" | "sitoweb" | "sito" | "paginaweb" | "profileurl" | "websites" => Role::Url,
        "linkedin" | "linkedinurl" | "linkedinprofile" | "linkedinprofileurl" => social("linkedin"),
        "twitter" | "twitterhandle" | "twitterurl" | "twitterusername" | "xhandle" => social("twitter"),
        "facebook" | "facebookurl" | "facebookprofile" => social("facebook"),
        "instagram" | "instagramhandle" | "instagramurl" => social("instagram"),
        "github" | "githuburl" | "githubusername" => social("github"),
        "skype" | "skypeid" | "skypename" => social("skype"),
        "telegram" | "telegramusername" => social("telegram"),
        "tags" | "tag" | "categories" | "category" | "keywords" => Role::Tags,
        "groups" | "group" | "groupmembership" | "labels" | "lists" => Role::Groups,
        "notes" | "note" | "comment" | "comments" | "remarks" | "notizen" | "bemerkung" | "remarques" | "notas" => {
            Role::Notes
        }
        "lastactivityat" | "lastactivity" | "lastactivitydate" | "lastcontacted" => Role::LastActivityAt,
        "firstseen" => Role::FirstSeen,
        "lastseen" => Role::LastSeen,
        "categorycode" => Role::CategoryCode,
        "subcategorycode" => Role::SubcategoryCode,
        "relationshipcategory" => Role::RelationshipCategory,
        _ => return None,
    })
}

fn social(service: &str) -> Role {
    Role::Social(service.to_owned())
}

/// Whose address, phone or email: the word before it, and the label it gives.
const WHOSE: [(&str, &str); 20] = [
    ("companymain", "main"),
    ("company", "work"),
    ("business", "work"),
    ("work", "work"),
    ("office", "work"),
    ("home", "home"),
    ("personal", "home"),
    ("private", "home"),
    ("mailing", "mailing"),
    ("billing", "billing"),
    ("shipping", "shipping"),
    ("permanent", "home"),
    ("headquarters", "hq"),
    ("hq", "hq"),
    ("birth", "birth"),
    ("other", "other"),
    ("primary", ""),
    ("secondary", "other"),
    ("alternate", "other"),
    ("alternative", "other"),
];

/// Google's and Outlook's numbered columns: `email1value`, `phone2type`, `address1street`...
fn numbered(key: &str) -> Option<Found> {
    let start = key.find(|c: char| c.is_ascii_digit())?;
    let (stem, rest) = key.split_at(start);
    let digits = rest.chars().take_while(char::is_ascii_digit).count();
    let (number, part) = rest.split_at(digits);
    let found = |role| Some(Found { role, group: number.to_owned(), label: "" });
    match (stem, part) {
        ("address" | "addr", "type" | "label") => found(Role::AddressLabel),
        ("address" | "addr", "formatted") => Some(Found::default()),
        ("address" | "addr", part) => places::part(part).and_then(found),
        (stem, "") if stem != "line" && places::part(stem).is_some() => places::part(stem).and_then(found),
        ("website" | "url" | "webpage" | "web", "value" | "") => found(Role::Url),
        ("organization" | "organisation" | "company", "name" | "") => found(Role::Organization),
        ("organization" | "organisation", "title") => found(Role::JobTitle),
        ("organization" | "organisation", "department") => found(Role::Department),
        (
            "organization" | "organisation" | "website" | "im" | "relation" | "event" | "customfield" | "externalid"
            | "calendarlink" | "jot" | "userdefined" | "sip" | "custom",
            _,
        ) => Some(Found::default()),
        _ => {
            let joined = format!("{stem}{part}");
            phone(&joined, number).or_else(|| email(&joined, number))
        }
    }
}

/// A phone column, perhaps after whose it is, perhaps its label or extension.
fn phone(key: &str, number: &str) -> Option<Found> {
    let (stem, role) = match key {
        _ if key.ends_with("extension") => (key.strip_suffix("extension")?, Role::PhoneExtension),
        _ if key.ends_with("type") => (key.strip_suffix("type")?, Role::PhoneLabel),
        _ if key.ends_with("label") => (key.strip_suffix("label")?, Role::PhoneLabel),
        _ => (key.strip_suffix("value").unwrap_or(key), Role::Phone),
    };
    let stem = stem.strip_suffix("number").or_else(|| stem.strip_suffix("nummer")).unwrap_or(stem);
    let (whose, label) = phone_stem(stem)?;
    let group = match (whose, number) {
        ("", "") => String::new(),
        ("", number) => number.to_owned(),
        (whose, number) => format!("{whose}{number}"),
    };
    Some(Found { role, group, label })
}

/// Whose phone and its label.
fn phone_stem(stem: &str) -> Option<(&str, &'static str)> {
    let bare = |word: &str| matches!(word, "phone" | "telephone" | "tel" | "phoneno");
    match stem {
        "phone" | "phones" | "phoneno" | "telephone" | "tel" | "telefon" | "telefono" | "telefone" | "telefoon"
        | "телефон" | "电话" | "電話" | "contact" | "callback" | "primaryphone" => Some(("", "")),
        "mobile" | "mobilephone" | "cell" | "cellphone" | "cellular" | "mobil" | "handy" | "movil" | "portable"
        | "cellulare" | "celular" | "mobiel" | "whatsapp" | "mobiletelephone" | "mobiltelefon" | "мобильный" => {
            Some((stem, "mobile"))
        }
        "fax" | "telefax" => Some((stem, "fax")),
        "businessfax" | "workfax" => Some((stem, "work fax")),
        "homefax" | "otherfax" => Some((stem, "home fax")),
        "pager" => Some((stem, "pager")),
        "mainphone" => Some((stem, "main")),
        "carphone" | "radiophone" => Some((stem, "other")),
        "directphone" | "direct" => Some((stem, "work")),
        _ => WHOSE.iter().find_map(|(word, label)| {
            let rest = stem.strip_prefix(word)?;
            (bare(rest) && *word != "birth").then_some((stem, *label))
        }),
    }
}

/// An email column, perhaps after whose it is, perhaps its label.
fn email(key: &str, number: &str) -> Option<Found> {
    let (stem, role) = match key {
        _ if key.ends_with("type") => (key.strip_suffix("type")?, Role::EmailLabel),
        _ if key.ends_with("label") => (key.strip_suffix("label")?, Role::EmailLabel),
        _ if key.ends_with("displayname") => (key.strip_suffix("displayname")?, Role::Ignored),
        _ => (key.strip_suffix("value").unwrap_or(key), Role::Email),
    };
    let stem = stem.strip_suffix("address").or_else(|| stem.strip_suffix("adresse")).unwrap_or(stem);
    let (whose, label) = match stem {
        "email" | "emails" | "mail" | "courriel" | "correo" | "correoelectronico" | "epost" | "почта" | "邮箱"
        | "emailid" => ("", ""),
        _ => WHOSE.iter().find_map(|(word, label)| {
            (matches!(stem.strip_prefix(word)?, "email" | "mail") && *word != "birth" && stem != "mailingmail")
                .then_some((*word, *label))
        })?,
    };
    let group = match (whose, number) {
        ("", "") => String::new(),
        ("", number) => number.to_owned(),
        (whose, number) => format!("{whose}{number}"),
    };
    Some(Found { role, group, label })
}

/// Known, but nothing we use.
fn ignorable(key: &str) -> Option<Found> {
    let known = matches!(
        key,
        "connectedon"
            | "photo"
            | "zip4"
            | "zipplus4"
            | "initials"
            | "shortname"
            | "fileas"
            | "yominame"
            | "givennameyomi"
            | "additionalnameyomi"
            | "familynameyomi"
            | "phoneticfirstname"
            | "phoneticmiddlename"
            | "phoneticlastname"
            | "leadsource"
            | "type"
            | "priority"
            | "sensitivity"
            | "mileage"
            | "language"
            | "billinginformation"
    );
    known.then(Found::default)
}
