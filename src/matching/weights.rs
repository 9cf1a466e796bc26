//! The numbers of the model: for every level of every comparison its m and u.
//!
//! They live in `data/default_model.toml`, which explains how to read them, and are frozen per
//! version. A level's weight is `log2(m / u)` bits (Fellegi and Sunter 1969).

use serde::Deserialize;

/// One level of a comparison.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// P(level given match), in (0, 1]; for a level with `n`, a factor that may exceed 1.
    pub m: f64,
    /// P(level given non-match); with `tf`, what is added to the value's own share.
    #[serde(default)]
    pub u: f64,
    /// Term-frequency adjusted: u is this many times the share of the value in the population.
    #[serde(default)]
    pub tf: f64,
    /// u falls with the number of records: `log2 N` bits are added.
    #[serde(default)]
    pub n: bool,
    /// Bits taken off for each doubling of the people who carry the value.
    #[serde(default)]
    pub people: f64,
    /// Most bits it can give. Missing: no bound.
    #[serde(default = "unbounded")]
    pub max: f64,
    /// What [`Level::flat`] gives; see [`Weights::ready`].
    #[serde(skip)]
    kept: Kept,
}

/// A logarithm, and what it was taken of: where that is another by now, it counts for nothing.
#[derive(Clone, Copy, Debug)]
struct Kept {
    m: f64,
    u: f64,
    max: f64,
    bits: f64,
}

impl Default for Kept {
    fn default() -> Self {
        Self { m: f64::NAN, u: f64::NAN, max: f64::NAN, bits: f64::NAN }
    }
}

/// It follows from the rest.
impl PartialEq for Kept {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

fn unbounded() -> f64 {
    f64::INFINITY
}

impl Level {
    /// A level of `m` and `u` alone.
    pub fn new(m: f64, u: f64) -> Self {
        Self { m, u, tf: 0.0, n: false, people: 0.0, max: unbounded(), kept: Kept::default() }
    }

    /// Weight in bits of a level without further arguments.
    #[inline]
    pub fn flat(&self) -> f64 {
        let Kept { m, u, max, bits } = self.kept;
        if m == self.m && u == self.u && max == self.max { bits } else { self.of_share(0.0) }
    }

    fn keep(&mut self) {
        self.kept = Kept { m: self.m, u: self.u, max: self.max, bits: self.of_share(0.0) };
    }

    /// Weight in bits for a value whose share of the population is `share`.
    pub fn of_share(&self, share: f32) -> f64 {
        let u = (self.tf * f64::from(share) + self.u).max(1e-12);
        (self.m / u).log2().min(self.max)
    }

    /// Weight in bits for two values that nearly agree: `share` of other people have the rarer one, `common` have the
    /// commoner one. Never more than what agreeing in the commoner one would say: a misspelt "Smith" is a Smith.
    ///
    /// Of the people called `x`, a share `t` is written `y`. If others called `y` have the share `s`, then the pair comes
    /// up `f(x) t` times among matches and `f(x) (s + f(x) t)` times by chance: the ratio is `t / (s + f(x) t)`.
    pub fn of_near(&self, share: f32, common: f32) -> f64 {
        let u = (self.tf * f64::from(share) + self.u + self.m * f64::from(common)).max(1e-12);
        (self.m / u).log2().min(self.max)
    }

    /// Weight in bits for an identifier that `people` carry among `2^size` records.
    pub fn of_people(&self, size: f64, people: u32) -> f64 {
        let u = if self.u > 0.0 { self.u } else { 1.0 };
        let size = if self.n { size } else { 0.0 };
        ((self.m / u).log2() + size - self.people * f64::from(people.max(1)).log2()).min(self.max)
    }
}

macro_rules! levels {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, PartialEq)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: Level),* }

        impl $name {
            fn keep(&mut self) {
                $(self.$field.keep();)*
            }
        }
    };
}

levels!(
    /// Levels of the given name.
    Given {
        /// The same.
        exact,
        /// A nickname of the other, a sibling nickname, or a beginning of it.
        nickname,
        /// A typing error apart.
        edit,
        /// Sounds alike.
        sound,
        /// One is the other's initial.
        initial,
        /// Another name.
        clash,
    }
);
levels!(
    /// Levels of the family name.
    Surname {
        /// The same.
        exact,
        /// One part of a double name.
        part,
        /// A typing error apart.
        edit,
        /// Sounds alike.
        sound,
        /// One is the other's initial.
        initial,
        /// Another name.
        clash,
    }
);
levels!(
    /// Penalties for reading a name otherwise than it was given.
    Reading {
        /// One field split into given and family name.
        split,
        /// A lone given name taken as a family name.
        lone_given,
        /// A lone family name taken as a given name.
        lone_surname,
        /// Missing part read from the mail address, which also shows the other part.
        mail,
        /// The same, with the initial only.
        mail_initial,
        /// Given and family name swapped.
        swapped,
        /// The nickname field as the given name.
        nickname,
        /// A middle name as the given name.
        middle,
    }
);
levels!(
    /// Levels of middle names, generation and further words of a name.
    NameRest {
        /// Middle names or initials agree.
        middle,
        /// Middle initials differ.
        middle_clash,
        /// The same generation mark.
        generation,
        /// Only one says Jr or the like.
        generation_one_sided,
        /// Jr against Sr.
        generation_clash,
    }
);
levels!(
    /// Levels of email addresses.
    Mail {
        /// The same address.
        exact,
        /// The same role mailbox.
        role,
        /// The same user at a domain one typing error away.
        near_domain,
        /// The same user, with digits in it, at another domain.
        user_digits,
        /// The same user at another domain.
        user,
        /// A user with digits one edit off at the same domain.
        edit_digits,
        /// A user one edit off at the same domain.
        edit,
        /// Other users of one domain.
        other_user,
        /// Other addresses.
        differ,
    }
);
levels!(
    /// Levels of phone numbers.
    Phone {
        /// The same number.
        exact,
        /// One digit off.
        edit,
        /// Other numbers.
        differ,
    }
);
levels!(
    /// Levels of ids in other systems.
    Id {
        /// The same id.
        exact,
        /// One edit off.
        edit,
        /// Other ids in one system.
        differ,
    }
);
levels!(
    /// Levels of handles on services.
    Handle {
        /// The same handle.
        exact,
        /// Other handles on one service.
        differ,
    }
);
levels!(
    /// Levels of a value made of words.
    Words {
        /// The same.
        exact,
        /// Nearly the same, or one within the other.
        near,
        /// Other.
        differ,
    }
);
levels!(
    /// Levels of a street address.
    Street {
        /// The same number and street.
        exact,
        /// Factor for each bit of the matching words' rarity.
        words,
        /// The house number is the same too.
        number,
        /// Nothing in common.
        differ,
    }
);
levels!(
    /// Levels of birthdays.
    Birthday {
        /// The same day.
        exact,
        /// 1 January of the same year: often a placeholder.
        placeholder,
        /// Day and month the other way round.
        swapped,
        /// One digit off or two digits swapped in one part.
        slip,
        /// Each part is at most a digit off.
        close,
        /// Two of year, month and day agree.
        two_parts,
        /// Day and month agree where a year is missing.
        day_month,
        /// At most a month apart.
        near,
        /// At most a year apart.
        year_apart,
        /// Only the year agrees.
        year,
        /// Only years are known and they differ.
        year_differs,
        /// Otherwise.
        differ,
    }
);
levels!(
    /// Levels of gender.
    Gender {
        /// The same.
        exact,
        /// Other.
        differ,
    }
);

/// The bounds that keep shared things from adding up to a person.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Dependence {
    /// Most bits, less than `log2 N`, that shared things may give when the given names clash.
    pub household: f64,
    /// The same with the birthday among them (twins).
    pub twins: f64,
    /// Most bits of the whole when only one independent piece of evidence speaks for it.
    pub single: f64,
    /// Least bits of the whole when a business key agrees and nothing contradicts.
    pub business_key: f64,
    /// How much the smaller ones of city, postcode and street count, 0 to 1.
    pub place: f64,
    /// How much of an equal country counts, 0 to 1.
    pub country: f64,
    /// How much the smaller ones of a business' pieces count, 0 to 1.
    pub business: f64,
    /// Bits that an agreeing piece needs to count as independent evidence.
    pub piece: f64,
    /// Bits of each bit of rarity that further words of a name bring.
    pub words: f64,
    /// Most bits that further words of a name bring.
    pub words_max: f64,
}

/// Shares assumed for values that no table knows.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Assumed {
    /// A given name.
    pub given: f32,
    /// A family name.
    pub surname: f32,
    /// An organisation.
    pub organization: f32,
    /// A job title.
    pub title: f32,
    /// A city.
    pub city: f32,
    /// A country.
    pub country: f32,
    /// A postal code.
    pub postcode: f32,
    /// A word of an organisation, a street or a further part of a name.
    pub word: f32,
    /// A company's domain.
    pub domain: f32,
}

/// All weights of one model version.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Version, for example `2026-11-1`.
    pub version: String,
    /// Given name.
    pub given: Given,
    /// Family name.
    pub surname: Surname,
    /// Readings of a name.
    pub reading: Reading,
    /// Middle names and generation.
    pub name_rest: NameRest,
    /// Email addresses.
    pub mail: Mail,
    /// Phone numbers.
    pub phone: Phone,
    /// External ids.
    pub id: Id,
    /// Handles.
    pub handle: Handle,
    /// A person's employer.
    pub organization: Words,
    /// A business' own name.
    pub business: Words,
    /// Company domain.
    pub domain: Words,
    /// Job title.
    pub title: Words,
    /// City.
    pub city: Words,
    /// Country.
    pub country: Words,
    /// Postal code.
    pub postcode: Words,
    /// Street address.
    pub street: Street,
    /// Birthday.
    pub birthday: Birthday,
    /// Gender.
    pub gender: Gender,
    /// Dependence.
    pub dependence: Dependence,
    /// Assumed shares.
    pub assumed: Assumed,
}

impl Weights {
    /// These weights with the logarithms of their constant levels taken once. Comparing asks for one or more of them
    /// for each pair.
    #[must_use]
    pub fn ready(mut self) -> Self {
        self.given.keep();
        self.surname.keep();
        self.reading.keep();
        self.name_rest.keep();
        self.mail.keep();
        self.phone.keep();
        self.id.keep();
        self.handle.keep();
        for words in [
            &mut self.organization,
            &mut self.business,
            &mut self.domain,
            &mut self.title,
            &mut self.city,
            &mut self.country,
            &mut self.postcode,
        ] {
            words.keep();
        }
        self.street.keep();
        self.birthday.keep();
        self.gender.keep();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(text: &str) -> Level {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn weights_are_log2_of_m_over_u() {
        assert!((level("m = 0.8\nu = 0.1").flat() - 3.0).abs() < 1e-9);
        assert!((level("m = 0.8\ntf = 1.0").of_share(0.1) - 3.0).abs() < 1e-6);
        assert!((level("m = 0.8\ntf = 1.0\nmax = 2.0").of_share(0.1) - 2.0).abs() < 1e-9);
        let typo = level("m = 0.1\ntf = 1.0\nu = 0.001");
        assert!((typo.of_near(0.0, 0.01) - (0.1_f64 / 0.002).log2()).abs() < 1e-6, "less than 1 in 100 says");
        assert!(typo.of_near(0.01, 0.01) < typo.of_near(0.0, 0.01));
        let mut kept = level("m = 0.5\nu = 0.1\ntf = 2.0\nmax = 2.0");
        for (m, max) in [(0.5, 2.0), (0.25, 2.0), (0.5, 3.0), (0.0, 2.0)] {
            kept.keep();
            (kept.m, kept.max) = (m, max);
            assert_eq!(kept.flat(), (m / 0.1).log2().min(max), "also after it was changed");
        }
        let phone = level("m = 8.0\nn = true\npeople = 1.5");
        assert!((phone.of_people(10.0, 1) - 13.0).abs() < 1e-9);
        assert!((phone.of_people(10.0, 4) - 10.0).abs() < 1e-9);
    }
}
