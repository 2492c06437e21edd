//! Configuration: one file a behaviour.

mod a_bad_value_names_its_place;
mod later_layers_override_earlier_ones;
mod the_default_file_equals_the_defaults;
mod the_profiles_load;
mod the_tuning_guide_has_every_key;
mod values_that_depend_on_each_other_are_checked;
