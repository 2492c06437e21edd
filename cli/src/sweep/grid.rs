//! Makes every combination of some settings.

use trunkline::Config;

use crate::arguments::ArgumentError;
use crate::error::CommandError;
use crate::trial::Choice;

/// Most combinations of one sweep.
const COMBINATIONS_MAX: usize = 1000;

/// A setting and the values to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Varied {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
}

/// Parses `section.key=value,value,…`.
pub(crate) fn parse_varied(text: &str) -> Result<Varied, ArgumentError> {
    let (key, values) = text.split_once('=').ok_or(ArgumentError::Varied)?;
    let values: Vec<String> = values
        .split(',')
        .map(|value| value.trim().to_owned())
        .collect();
    if !key.contains('.') || values.iter().any(String::is_empty) {
        return Err(ArgumentError::Varied);
    }
    Ok(Varied {
        key: key.trim().to_owned(),
        values,
    })
}

/// Returns the settings that a list of arguments names.
pub(crate) fn parse_all(texts: &[&str]) -> Vec<Varied> {
    texts
        .iter()
        .filter_map(|text| parse_varied(text).ok())
        .collect()
}

/// Returns the settings that a sweep varies by default.
pub(super) fn default() -> Vec<Varied> {
    parse_all(&[
        "group.operations_max=2000,5000,10000,20000,40000,80000",
        "group.in_flight_max=2,4",
    ])
}

/// Returns all combinations. The last setting changes fastest. Each value is checked by itself.
pub(super) fn combinations(varied: &[Varied]) -> Result<Vec<Vec<Choice>>, CommandError> {
    let mut all = vec![Vec::new()];
    for Varied { key, values } in varied {
        if all.len().saturating_mul(values.len()) > COMBINATIONS_MAX {
            return Err(CommandError::TooManyCombinations {
                max: COMBINATIONS_MAX,
            });
        }
        let choice = |value: &String| Choice {
            key: key.clone(),
            value: value.clone(),
        };
        let choices: Vec<Choice> = values.iter().map(choice).collect();
        for choice in &choices {
            Config::layers().set(&choice.to_string())?;
        }
        let longer = |before: Vec<Choice>| {
            let with = move |choice: &Choice| [&before[..], std::slice::from_ref(choice)].concat();
            choices.iter().map(with)
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_comes_once() {
        let varied = ["group.linger_ms=0,1", "group.in_flight_max=2,3,4"];
        let varied: Vec<Varied> = varied
            .iter()
            .map(|text| parse_varied(text).unwrap())
            .collect();
        let names: Vec<String> = combinations(&varied)
            .unwrap()
            .iter()
            .map(|choices| crate::trial::name(choices))
            .collect();
        assert_eq!(names.len(), 6);
        assert_eq!(names[0], "group.linger_ms=0 group.in_flight_max=2");
        assert_eq!(names[5], "group.linger_ms=1 group.in_flight_max=4");
        assert_eq!(combinations(&default()).unwrap().len(), 12);
    }

    #[test]
    fn what_is_no_list_of_values_is_refused() {
        for text in [
            "group.linger_ms",
            "group.linger_ms=",
            "linger=1",
            "group.linger_ms=1,,2",
        ] {
            assert_eq!(parse_varied(text), Err(ArgumentError::Varied), "{text}");
        }
    }

    #[test]
    fn an_unknown_key_or_a_value_of_another_type_is_named() {
        for (text, says) in [
            ("group.linger=1", "unknown key group.linger"),
            ("group.linger_ms=x", "group.linger_ms"),
        ] {
            let error = combinations(&[parse_varied(text).unwrap()]).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        let many = Varied {
            key: "group.linger_ms".into(),
            values: vec!["1".into(); 1001],
        };
        assert!(matches!(
            combinations(&[many]),
            Err(CommandError::TooManyCombinations { .. })
        ));
    }
}
