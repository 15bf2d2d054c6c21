//! `tokens.json`: what a router keeps of its tokens, and never a token itself.

use router_lite::limits::MAX_TOKENS;
use router_lite::{TokenHash, TokenScope, TokenTable};
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Fault, Fields, Hex, VERSION, fault, text, versioned};

#[derive(Serialize)]
struct TokensFile<'a> {
    version: u64,
    tokens: Vec<Record<'a>>,
}

#[derive(Serialize)]
struct Record<'a> {
    name: &'a str,
    hash: Hex<'a>,
    scopes: Vec<String>,
}

/// `tokens.json`
pub(crate) fn write_tokens(tokens: &TokenTable) -> Zeroizing<Vec<u8>> {
    let records = tokens.iter().map(|token| Record {
        name: token.name(),
        hash: Hex(token.hash().as_bytes()),
        scopes: token.scopes().iter().map(ToString::to_string).collect(),
    });
    text(&TokensFile { version: VERSION, tokens: records.collect() })
}

/// Reads `tokens.json`.
pub(crate) fn read_tokens(bytes: &[u8]) -> Result<TokenTable, Fault> {
    let mut fields = versioned(bytes)?;
    let Value::Array(records) = fields.take("tokens")? else { return Err(fault("tokens", "is not a list")) };
    fields.finish()?;
    if records.len() > MAX_TOKENS {
        return Err(fault("tokens", format!("has {} records, and {MAX_TOKENS} may be", records.len())));
    }
    let mut tokens = TokenTable::new();
    for (number, record) in records.into_iter().enumerate() {
        let place = format!("tokens[{number}]");
        let mut fields = Fields::of(record, &format!("{place}."))?;
        let (name, hash) = (fields.text("name")?, TokenHash::new(fields.key("hash")?));
        let Value::Array(scopes) = fields.take("scopes")? else {
            return Err(fields.fault("scopes", "is not a list"));
        };
        let scopes = read_scopes(&scopes, &fields)?;
        fields.finish()?;
        tokens.insert(&name, hash, &scopes).map_err(|error| fault(place, error.to_string()))?;
    }
    Ok(tokens)
}

fn read_scopes(scopes: &[Value], fields: &Fields) -> Result<Vec<TokenScope>, Fault> {
    let wrong = |number| fields.fault(&format!("scopes[{number}]"), "is no scope such as \"read:/pub/**\"");
    let read = |(number, scope): (usize, &Value)| {
        scope.as_str().and_then(|scope| scope.parse().ok()).ok_or_else(|| wrong(number))
    };
    scopes.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use router_lite::Token;
    use serde_json::json;

    use super::*;

    fn tokens() -> Value {
        let mut tokens = TokenTable::new();
        for (number, name, scopes) in [(1, "panel", "r:/pub/**,w:/desk/*"), (2, "backup", "admin:/**")] {
            let scopes = TokenScope::parse_list(scopes).unwrap();
            tokens.insert(name, Token::new([number; 16]).hash(), &scopes).unwrap();
        }
        serde_json::from_slice(&write_tokens(&tokens)).unwrap()
    }

    fn bytes(value: &Value) -> Vec<u8> {
        serde_json::to_vec(value).unwrap()
    }

    #[test]
    fn tokens_are_written_by_their_hash_and_read_back() {
        let file = tokens();
        assert_eq!(file["version"], 1);
        let record = &file["tokens"][0];
        assert_eq!(
            (&record["name"], &record["scopes"]),
            (&json!("panel"), &json!(["read:/pub/**", "write:/desk/*"]))
        );
        assert_eq!(record.as_object().unwrap().len(), 3);
        assert!(!file.to_string().contains("cpsk_") && !file.to_string().contains(&"01".repeat(16)));
        let read = read_tokens(&bytes(&file)).unwrap();
        assert_eq!(read.present(&Token::new([2; 16])).unwrap().name(), "backup");
        assert_eq!(serde_json::from_slice::<Value>(&write_tokens(&read)).unwrap(), file);
    }

    #[test]
    fn what_is_wrong_with_tokens_is_told_by_its_field_and_never_by_its_value() {
        let scope = "tokens[1].scopes[0]: is no scope such as \"read:/pub/**\"";
        for (field, value, want) in [
            ("name", json!(5), "tokens[1].name: is not text"),
            ("name", json!("panel"), "tokens[1]: there is a token called \"panel\" already"),
            ("name", json!(""), "tokens[1]: name \"\": expected"),
            ("name", json!("cpsk_secret"), "tokens[1]: name: that looks like a token"),
            ("hash", json!("00"), "tokens[1].hash: has not 32 bytes"),
            ("hash", json!("cpsk_secret"), "tokens[1].hash: is not hexadecimal"),
            (
                "hash",
                tokens()["tokens"][0]["hash"].clone(),
                "tokens[1]: the token is known already, as \"panel\"",
            ),
            ("scopes", json!("read:/a"), "tokens[1].scopes: is not a list"),
            ("scopes", json!([]), "tokens[1]: scopes: 0 of them"),
            ("scopes", json!(["cpsk_secret:/a"]), scope),
            ("scopes", json!(["read:a"]), scope),
            ("scopes", json!([7]), scope),
            ("scopes", json!(vec!["read:/a"; 17]), "tokens[1]: scopes: 17 of them"),
            ("token", json!("cpsk_secret"), "tokens[1].token: is not a field of this version"),
        ] {
            let mut file = tokens();
            file["tokens"][1][field] = value;
            let fault = read_tokens(&bytes(&file)).unwrap_err().to_string();
            assert!(fault.starts_with(want) && !fault.contains("secret:"), "{field}: {fault}");
        }
        for (file, want) in [
            (json!({"version": 2, "tokens": []}), "version: is 2, of a newer program"),
            (json!({"version": 1}), "tokens: is missing"),
            (json!({"version": 1, "tokens": [5]}), "tokens[0]: is not an object"),
            (json!({"version": 1, "tokens": [], "more": 1}), "more: is not a field"),
            (
                json!({"version": 1, "tokens": vec![0; MAX_TOKENS + 1]}),
                "tokens: has 65 records, and 64 may be",
            ),
        ] {
            let fault = read_tokens(&bytes(&file)).unwrap_err().to_string();
            assert!(fault.starts_with(want), "{fault}");
        }
    }
}
