//! A strict reader of the markup that reports are written in: every element is closed, every attribute is quoted,
//! every `<` and `&` in a text is escaped.

/// Elements that have no content.
const VOID: [&str; 2] = ["meta", "br"];

/// The markup that was read.
pub(crate) struct Markup {
    elements: Vec<Element>,
    texts: Vec<String>,
}

/// An element with the classes of its ancestors.
pub(crate) struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    classes: Vec<String>,
}

impl Element {
    #[track_caller]
    pub(crate) fn attribute(&self, name: &str) -> &str {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|attribute| attribute.0 == name);
        &found
            .unwrap_or_else(|| panic!("{} without {name}", self.name))
            .1
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> f64 {
        self.attribute(name).parse().expect("a number")
    }

    pub(crate) fn is_within(&self, class: &str) -> bool {
        self.classes.iter().any(|one| one == class)
    }
}

impl Markup {
    #[track_caller]
    pub(crate) fn parse(page: &str) -> Self {
        let mut rest = page
            .strip_prefix("<!DOCTYPE html>")
            .expect("a document type");
        let mut open: Vec<(String, Vec<String>)> = Vec::new();
        let (mut elements, mut texts) = (Vec::new(), Vec::new());
        while let Some(begin) = rest.find('<') {
            let (text, tag) = rest.split_at(begin);
            let is_style = open.last().is_some_and(|(name, _)| name == "style");
            texts.push(if is_style {
                String::new()
            } else {
                unescaped(text)
            });
            let (tag, after) = split_tag(tag);
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                let closed = open.pop().expect("something to close");
                assert_eq!(closed.0, name, "closed in another order");
                continue;
            }
            let (name, attributes) = read_tag(tag);
            let mut classes: Vec<String> = open.last().map_or(Vec::new(), |outer| outer.1.clone());
            let class = attributes.iter().find(|attribute| attribute.0 == "class");
            let own = class.map_or("", |class| &class.1);
            classes.extend(own.split_whitespace().map(str::to_owned));
            if !VOID.contains(&name.as_str()) {
                open.push((name.clone(), classes.clone()));
            }
            elements.push(Element {
                name,
                attributes,
                classes,
            });
        }
        assert!(open.is_empty(), "not closed: {open:?}");
        assert!(rest.trim().is_empty(), "after the end: {rest}");
        Self { elements, texts }
    }

    pub(crate) fn elements<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.elements
            .iter()
            .filter(move |element| element.name == name)
    }

    /// Returns the elements of the drawing with this description.
    pub(crate) fn drawing<'a>(&'a self, description: &str) -> Vec<&'a Element> {
        let mut is_inside = false;
        let within = self.elements.iter().filter(|element| {
            if element.name == "svg" {
                let label = ("aria-label".to_owned(), description.to_owned());
                is_inside = element.attributes.contains(&label);
            }
            is_inside
        });
        within.collect()
    }

    /// Returns the positions of the points of a plot's lines, in pixels.
    pub(crate) fn lines(&self, description: &str) -> Vec<Vec<(f64, f64)>> {
        let drawing = self.drawing(description).into_iter();
        let lines = drawing.filter(|element| element.name == "path" && element.is_within("line"));
        lines.map(|line| points(line.attribute("d"))).collect()
    }

    /// Returns all texts between tags, and those of attributes.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let attributes = self.elements.iter().flat_map(|element| &element.attributes);
        let attributes = attributes.map(|attribute| attribute.1.as_str());
        self.texts.iter().map(String::as_str).chain(attributes)
    }
}

/// Returns the points of a path of straight lines.
fn points(path: &str) -> Vec<(f64, f64)> {
    let points = path.split(['M', 'L']).skip(1);
    let point = |point: &str| {
        let (across, up) = point.split_once(' ').expect("two numbers");
        (
            across.parse().expect("a number"),
            up.parse().expect("a number"),
        )
    };
    points.map(point).collect()
}

/// Returns the text between `<` and the `>` that is not in quotes, and the text after it.
fn split_tag(text: &str) -> (&str, &str) {
    let mut is_quoted = false;
    let end = text.char_indices().find(|(_, character)| {
        is_quoted ^= *character == '"';
        *character == '>' && !is_quoted
    });
    let (end, _) = end.expect("a tag that ends");
    (&text[1..end], &text[end + 1..])
}

fn read_tag(tag: &str) -> (String, Vec<(String, String)>) {
    let (name, mut rest) = tag.split_at(tag.find(' ').unwrap_or(tag.len()));
    let is_name = |character: char| character.is_ascii_alphanumeric();
    assert!(
        !name.is_empty() && name.chars().all(is_name),
        "no name of an element: {name}"
    );
    let mut attributes = Vec::new();
    while !rest.trim().is_empty() {
        let (name, value) = rest
            .trim_start()
            .split_once("=\"")
            .expect("a quoted attribute");
        let (value, after) = value.split_once('"').expect("a quote that ends");
        assert!(!name.contains(' '), "no name of an attribute: {name}");
        attributes.push((name.to_owned(), unescaped(value)));
        rest = after;
    }
    (name.to_owned(), attributes)
}

fn unescaped(text: &str) -> String {
    let mut parts = text.split('&');
    let mut unescaped = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, after) = part.split_once(';').expect("an entity that ends");
        unescaped.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            _ => panic!("unknown entity {entity}"),
        });
        unescaped.push_str(after);
    }
    unescaped
}
