//! Several secrets in one call.

use strongroom_backend::{ErrorKind, Result, Secret};

use super::writes;
use crate::flaw::{Verdict, ensure_eq, refused};
use crate::run::cases;
use crate::subject::{Subject, path, paths, same_bytes};

/// What the interface takes in one call.
const MOST: usize = 100;

cases! {
    writes => [
        answers_come_in_the_order_asked, a_missing_one_fails_alone, asking_twice_answers_twice,
        none_and_a_hundred,
    ],
}

/// The order asked, not the order of names or of writing.
async fn answers_come_in_the_order_asked(s: Subject) -> Verdict {
    let names = ["m/c", "m/a", "z", "m/b", "a"];
    for name in paths(["a", "m/a", "m/b", "m/c", "z"])? {
        s.put(&name, name.as_str().as_bytes()).await?;
    }
    let answers = s.backend.get_many(&paths(names)?).await;
    ensure_eq!(answers.len(), names.len(), "the number of answers");
    for (name, answer) in names.into_iter().zip(answers) {
        is_value(name, answer, name.as_bytes())?;
    }
    Ok(())
}

/// A missing and a deleted one answer not-found; the others answer.
async fn a_missing_one_fails_alone(s: Subject) -> Verdict {
    for name in paths(["there", "deleted", "also"])? {
        s.put(&name, b"value").await?;
    }
    s.backend.delete(&path("deleted")?, None).await?;
    let asked = paths(["missing", "there", "deleted", "also", "missing/too"])?;
    let answers = s.backend.get_many(&asked).await;
    ensure_eq!(answers.len(), asked.len(), "the number of answers");
    for (name, answer) in asked.iter().zip(answers) {
        match name.as_str() {
            "there" | "also" => is_value(name.as_str(), answer, b"value")?,
            other => refused(answer, ErrorKind::NotFound, other)?,
        }
    }
    Ok(())
}

/// One name asked for twice is answered twice.
async fn asking_twice_answers_twice(s: Subject) -> Verdict {
    for name in paths(["a", "b"])? {
        s.put(&name, name.as_str().as_bytes()).await?;
    }
    let asked = ["a", "missing", "a", "b", "missing", "a"];
    let answers = s.backend.get_many(&paths(asked)?).await;
    ensure_eq!(answers.len(), asked.len(), "the number of answers");
    for (name, answer) in asked.into_iter().zip(answers) {
        match name {
            "missing" => refused(answer, ErrorKind::NotFound, name)?,
            name => is_value(name, answer, name.as_bytes())?,
        }
    }
    Ok(())
}

/// No names have no answers; as many as the interface takes have all of theirs.
async fn none_and_a_hundred(s: Subject) -> Verdict {
    ensure_eq!(s.backend.get_many(&[]).await.len(), 0, "answers to nothing");
    let mut names = Vec::new();
    for index in 0..MOST {
        let name = path(&format!("n/{}", (index * 37) % MOST))?;
        s.put(&name, name.as_str().as_bytes()).await?;
        names.push(name);
    }
    let answers = s.backend.get_many(&names).await;
    ensure_eq!(answers.len(), MOST, "the number of answers");
    for (name, answer) in names.iter().zip(answers) {
        is_value(name.as_str(), answer, name.as_str().as_bytes())?;
    }
    Ok(())
}

fn is_value(name: &str, answer: Result<Secret>, expected: &[u8]) -> Verdict {
    same_bytes(name, answer?.value.expose(), expected)
}
