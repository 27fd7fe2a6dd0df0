//! Takes a sample of the rows of a data set.

use engine::types::PinType;
use indexmap::IndexMap;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::StdRng;
use rand::seq::{SliceRandom, index};
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, PinSpec, optional, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

const METHODS: [&str; 8] = ["random", "systematic", "top", "bottom", "stratified", "weighted", "reservoir", "cluster"];

pub(crate) fn block() -> Immediate {
    let row = || PinType::union([PinType::object(), PinType::list(PinType::Any)]);
    let descriptor = Describe::new(
        uuid!("4a448883-71fa-49cf-91cf-70d793bd7d87"),
        "DataSamplingBlock",
        "Takes a sample of a data set by one of several methods.",
    )
    .categories(&["LOGIC"])
    .input(
        required("data", PinType::union([PinType::object(), PinType::list(row())]))
            .about("The rows: dictionaries or lists. One dictionary counts as one row."),
    )
    .input(optional("sample_size", PinType::Int, json!(10)).basic().about("How many rows to take."))
    .input(
        optional("sampling_method", PinType::literal(METHODS), json!("random"))
            .basic()
            .about("How to choose the rows."),
    )
    .input(optional("accumulate", PinType::Bool, json!(false)).about("Wait until there are enough rows."))
    .input(optional("random_seed", PinType::optional(PinType::Int), Value::Null).about("Makes the choice repeatable."))
    .input(key("stratify_key", "The field that divides the rows into strata."))
    .input(key("weight_key", "The field with the weight of a row."))
    .input(key("cluster_key", "The field that divides the rows into clusters."))
    .output(output("sampled_data", PinType::list(row())).about("The chosen rows."))
    .output(output("sample_indices", PinType::list(PinType::Int)).about("Their positions in the data."));
    Immediate::new(descriptor.build(), run)
}

fn key(name: &'static str, about: &str) -> PinSpec {
    optional(name, PinType::optional(PinType::Str), Value::Null).about(about)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let rows = match input.value("data") {
        Value::Array(rows) => rows,
        one => vec![one],
    };
    let size = input.integer("sample_size");
    let wanted = usize::try_from(size).map_err(|_| Failure::raised("Sample size cannot be negative"))?;
    if wanted > rows.len() {
        if input.flag("accumulate") {
            return Ok(());
        }
        return Err(Failure::raised(format!(
            "Sample size ({size}) cannot be larger than the dataset size ({}).",
            rows.len()
        )));
    }
    let mut random = match input.optional_integer("random_seed") {
        Some(seed) => StdRng::seed_from_u64(seed.unsigned_abs()),
        None => StdRng::from_os_rng(),
    };
    let chosen = choose(&mut input, &rows, wanted, &mut random)?;
    let sampled: Vec<Value> = chosen.iter().filter_map(|index| rows.get(*index).cloned()).collect();
    out.emit("sampled_data", sampled);
    out.emit("sample_indices", chosen.into_iter().map(Value::from).collect::<Vec<Value>>());
    Ok(())
}

fn choose(input: &mut Inputs, rows: &[Value], wanted: usize, random: &mut StdRng) -> Result<Vec<usize>, Failure> {
    let count = rows.len();
    match input.text("sampling_method").as_str() {
        "systematic" => systematic(count, wanted, random),
        "top" => Ok((0..wanted).collect()),
        "bottom" => Ok((count - wanted..count).collect()),
        "stratified" => {
            let key = key_of(input, "stratify_key", "stratified")?;
            Ok(stratified(&groups(rows, &key)?, count, wanted, random))
        }
        "weighted" => weighted(rows, &key_of(input, "weight_key", "weighted")?, wanted, random),
        "cluster" => {
            let key = key_of(input, "cluster_key", "cluster")?;
            Ok(cluster(groups(rows, &key)?, wanted, random))
        }
        // A reservoir over data that is all there is a draw without replacement.
        _ => Ok(index::sample(random, count, wanted).into_vec()),
    }
}

fn key_of(input: &mut Inputs, pin: &str, method: &str) -> Result<String, Failure> {
    let key = input.optional_text(pin).filter(|key| !key.is_empty());
    key.ok_or_else(|| Failure::raised(format!("`{pin}` must be given for {method} sampling.")))
}

fn field<'a>(row: &'a Value, key: &str) -> Result<&'a Value, Failure> {
    row.get(key).ok_or_else(|| Failure::raised(format!("A row has no field '{key}'")))
}

/// Row numbers by the value of a field, in order of first appearance.
fn groups(rows: &[Value], key: &str) -> Result<Vec<Vec<usize>>, Failure> {
    let mut groups: IndexMap<String, Vec<usize>> = IndexMap::new();
    for (index, row) in rows.iter().enumerate() {
        groups.entry(python::repr(field(row, key)?)).or_default().push(index);
    }
    Ok(groups.into_values().collect())
}

fn systematic(count: usize, wanted: usize, random: &mut StdRng) -> Result<Vec<usize>, Failure> {
    let step = count
        .checked_div(wanted)
        .ok_or_else(|| Failure::raised("integer division or modulo by zero"))?;
    let start = random.random_range(0..step.max(1));
    Ok((0..wanted).map(|nth| start + nth * step).collect())
}

/// Every group by its share; rounding leftovers go to the groups with the largest remainders.
fn stratified(groups: &[Vec<usize>], count: usize, wanted: usize, random: &mut StdRng) -> Vec<usize> {
    let mut shares: Vec<(usize, usize)> = groups
        .iter()
        .map(|group| (group.len() * wanted / count.max(1), group.len() * wanted % count.max(1)))
        .collect();
    let mut left = wanted - shares.iter().map(|(share, _)| share).sum::<usize>();
    let mut by_remainder: Vec<usize> = (0..shares.len()).collect();
    by_remainder.sort_by_key(|index| std::cmp::Reverse(shares.get(*index).map(|(_, remainder)| *remainder)));
    for index in by_remainder {
        if let (Some((share, _)), true) = (shares.get_mut(index), left > 0) {
            *share += 1;
            left -= 1;
        }
    }
    let mut chosen = Vec::with_capacity(wanted);
    for (group, (share, _)) in groups.iter().zip(shares) {
        let picked = index::sample(random, group.len(), share.min(group.len()));
        chosen.extend(picked.into_iter().filter_map(|index| group.get(index).copied()));
    }
    chosen
}

/// With replacement.
fn weighted(rows: &[Value], key: &str, wanted: usize, random: &mut StdRng) -> Result<Vec<usize>, Failure> {
    let weights: Result<Vec<f64>, Failure> = rows
        .iter()
        .map(|row| {
            field(row, key)?
                .as_f64()
                .ok_or_else(|| Failure::raised(format!("The weight '{key}' of a row is no number")))
        })
        .collect();
    let distribution = WeightedIndex::new(weights?).map_err(|error| Failure::raised(error.to_string()))?;
    Ok(distribution.sample_iter(random).take(wanted).collect())
}

/// Whole clusters in random order until there are enough rows.
fn cluster(mut groups: Vec<Vec<usize>>, wanted: usize, random: &mut StdRng) -> Vec<usize> {
    groups.shuffle(random);
    groups.into_iter().flatten().take(wanted).collect()
}
