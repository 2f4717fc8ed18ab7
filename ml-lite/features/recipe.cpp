#include "ml-lite/features/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <set>

#include "ml-lite/model_file.h"

namespace wattd::ml {
namespace {

constexpr std::size_t kMostClasses = 20;
constexpr std::string_view kGrades[][3] = {{"L", "M", "H"}, {"low", "medium", "high"}};

const Column* find(std::span<const Column> columns, std::string_view name) {
  const auto found = std::ranges::find(columns, name, &Column::name);
  return found == columns.end() ? nullptr : &*found;
}

/// Grades in their order, where all classes are some of them.
std::vector<std::string> graded(const std::set<std::string>& classes) {
  for (const auto& grades : kGrades) {
    std::vector<std::string> ordered;
    for (const auto grade : grades) {
      if (classes.contains(std::string(grade))) ordered.emplace_back(grade);
    }
    if (ordered.size() == classes.size()) return {std::begin(grades), std::end(grades)};
  }
  return {};
}

bool counts_rows(const std::vector<double>& numbers) {
  for (std::size_t i = 1; i < numbers.size(); ++i) {
    if (numbers[i] != numbers[i - 1] + 1) return false;
  }
  return numbers.size() > 20;
}

bool never_changes(const std::vector<double>& numbers) {
  return std::ranges::all_of(numbers, [&](double value) {
    return value == numbers.front() || (std::isnan(value) && std::isnan(numbers.front()));
  });
}

/// A flag that is set only where the target is, and not by chance.
bool tells(const std::vector<double>& numbers, std::span<const double> target) {
  double set = 0, hits = 0, failures = 0;
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (numbers[i] != 0 && numbers[i] != 1) return false;
    set += numbers[i], hits += numbers[i] * target[i], failures += target[i];
  }
  return set >= 5 && hits >= 0.95 * set && failures < 0.5 * static_cast<double>(target.size());
}

/// The values of the first column of this name whose unit is one of these; none.
std::optional<std::size_t> with_unit(std::span<const std::string> names, std::initializer_list<std::string_view> units,
                                     std::size_t from = 0) {
  for (auto i = from; i < names.size(); ++i) {
    for (const auto unit : units) {
      if (names[i].ends_with(fmt::format("[{}]", unit))) return i;
    }
  }
  return std::nullopt;
}

struct Derived {
  std::string name;
  std::size_t first, second;
  enum Kind { power, strain, difference } kind;
};

std::vector<Derived> derived_of(std::span<const std::string> names) {
  std::vector<Derived> derived;
  const auto torque = with_unit(names, {"Nm"}), speed = with_unit(names, {"rpm", "1/min"}),
             wear = with_unit(names, {"min"});
  if (torque && speed) derived.push_back({"power", *torque, *speed, Derived::power});
  if (torque && wear) derived.push_back({"strain", *torque, *wear, Derived::strain});
  const auto first = with_unit(names, {"K", "°C"});
  const auto second = first ? with_unit(names, {"K", "°C"}, *first + 1) : std::nullopt;
  if (second) derived.push_back({"temperature difference", *first, *second, Derived::difference});
  return derived;
}

double value_of(const Derived& derived, double first, double second) {
  switch (derived.kind) {
    case Derived::power: return first * second * 2 * std::numbers::pi / 60;
    case Derived::strain: return first * second;
    case Derived::difference: break;
  }
  return second - first;
}

}  // namespace

Result<Recipe> Recipe::learn(std::span<const Column> columns, const RecipeOptions& options,
                             std::span<const double> target) {
  Recipe recipe;
  for (const auto& name : options.ignore) {
    if (find(columns, name) == nullptr)
      return fail(ErrorKind::permanent, fmt::format("there is no column {} to ignore", name));
  }
  for (const auto& column : columns) {
    if (std::ranges::find(options.ignore, column.name) != options.ignore.end()) continue;
    const auto leave = [&](std::string_view why) {
      recipe.left_out_.push_back(fmt::format("{}: {}", column.name, why));
    };
    Input input{.name = column.name};
    if (column.is_text()) {
      const std::set<std::string> classes(column.texts.begin(), column.texts.end());
      if (classes.size() > kMostClasses) {
        leave("a text with more than 20 classes");
        continue;
      }
      if (classes.size() < 2) {
        leave("never changes");
        continue;
      }
      input.classes = graded(classes);
      input.grade = !input.classes.empty();
      if (!input.grade) {
        input.classes.assign(classes.begin(), classes.end());
        if (const auto chosen = options.reference.find(column.name); chosen != options.reference.end()) {
          const auto at = std::ranges::find(input.classes, chosen->second);
          if (at == input.classes.end())
            return fail(ErrorKind::permanent, fmt::format("column {} has no class {}", column.name, chosen->second));
          std::rotate(input.classes.begin(), at, at + 1);
        }
      }
    } else if (never_changes(column.numbers)) {
      leave("never changes");
      continue;
    } else if (counts_rows(column.numbers)) {
      leave("counts the rows");
      continue;
    } else if (!target.empty() && tells(column.numbers, target)) {
      leave("is set only where the target is: known when it is too late");
      continue;
    }
    recipe.inputs_.push_back(std::move(input));
  }
  if (recipe.inputs_.empty()) return fail(ErrorKind::permanent, "no column is left to learn from");
  recipe.limits_ = options.limits, recipe.bands_ = options.bands;
  recipe.name_columns();
  if (auto rows = recipe.rows(columns); !rows) return std::unexpected(rows.error());
  return recipe;
}

void Recipe::name_columns() {
  names_.clear();
  for (const auto& input : inputs_) {
    if (input.classes.empty() || input.grade) {
      names_.push_back(input.name);
      continue;
    }
    for (std::size_t i = 1; i < input.classes.size(); ++i) names_.push_back(input.name + "_" + input.classes[i]);
  }
  const auto plain_names = names_;
  for (const auto& derived : derived_of(plain_names)) names_.push_back(derived.name);
  for (const auto& limit : limits_) names_.push_back(limit.column + " of its limit");
  for (const auto& band : bands_) names_.push_back(band.column + " off its middle");
}

Result<std::vector<std::vector<double>>> Recipe::plain(std::span<const Column> columns) const {
  std::vector<std::vector<double>> values;
  for (const auto& input : inputs_) {
    const auto* column = find(columns, input.name);
    if (column == nullptr)
      return fail(ErrorKind::permanent,
                  fmt::format("there is no column {}, which the model was fitted on", input.name));
    if (input.classes.empty()) {
      if (column->is_text())
        return fail(ErrorKind::permanent,
                    fmt::format("column {} holds texts, the model was fitted on numbers", input.name));
      values.push_back(column->numbers);
      continue;
    }
    // A file may have one class only, or digits for classes.
    const auto text = [&](std::size_t row) {
      return column->is_text() ? column->texts[row] : fmt::format("{}", column->numbers[row]);
    };
    const auto rows = column->numbers.size();
    const auto first = values.size();
    values.resize(first + (input.grade ? 1 : input.classes.size() - 1), std::vector<double>(rows));
    for (std::size_t row = 0; row < rows; ++row) {
      const auto at = static_cast<std::size_t>(std::ranges::find(input.classes, text(row)) - input.classes.begin());
      if (input.grade) values[first][row] = at < input.classes.size() ? static_cast<double>(at) : std::nan("");
      // A class that was never seen is none of them.
      else if (at > 0 && at < input.classes.size()) values[first + at - 1][row] = 1;
    }
  }
  return values;
}

Result<Table> Recipe::rows(std::span<const Column> columns) const {
  auto values = plain(columns);
  if (!values) return std::unexpected(values.error());
  const auto count = values->empty() ? 0 : values->front().size();
  const auto plain_names = std::span(names_).first(values->size());
  for (const auto& derived : derived_of(plain_names)) {
    std::vector<double> column(count);
    for (std::size_t row = 0; row < count; ++row)
      column[row] = value_of(derived, (*values)[derived.first][row], (*values)[derived.second][row]);
    values->push_back(std::move(column));
  }
  const auto known = [&](const std::string& name) -> const std::vector<double>* {
    const auto at = static_cast<std::size_t>(std::ranges::find(names_, name) - names_.begin());
    return at < values->size() ? &(*values)[at] : nullptr;
  };
  for (const auto& limit : limits_) {
    const auto* column = known(limit.column);
    const auto* classes = find(columns, limit.class_column);
    if (column == nullptr || classes == nullptr || !classes->is_text())
      return fail(ErrorKind::permanent,
                  fmt::format("a limit needs a column {} and a text column {}", limit.column, limit.class_column));
    auto shares = *column;
    for (std::size_t row = 0; row < count; ++row) {
      const auto found = limit.limits.find(classes->texts[row]);
      shares[row] = found == limit.limits.end() ? std::nan("") : shares[row] / found->second;
    }
    values->push_back(std::move(shares));
  }
  for (const auto& band : bands_) {
    const auto* column = known(band.column);
    if (column == nullptr)
      return fail(ErrorKind::permanent, fmt::format("there is no column {} for a band", band.column));
    auto off = *column;
    for (double& value : off) value = std::abs(value - (band.low + band.high) / 2);
    values->push_back(std::move(off));
  }
  Table table(count, values->size());
  for (std::size_t column = 0; column < values->size(); ++column) {
    for (std::size_t row = 0; row < count; ++row) table.at(row, column) = (*values)[column][row];
  }
  return table;
}

void Recipe::write(ByteWriter& out) const {
  out.varint(inputs_.size());
  for (const auto& input : inputs_) {
    out.text(input.name);
    out.byte(input.grade);
    out.varint(input.classes.size());
    for (const auto& name : input.classes) out.text(name);
  }
  out.varint(limits_.size());
  for (const auto& limit : limits_) {
    out.text(limit.column), out.text(limit.class_column), out.varint(limit.limits.size());
    for (const auto& [name, value] : limit.limits) out.text(name), out.real(value);
  }
  out.varint(bands_.size());
  for (const auto& band : bands_) out.text(band.column), out.real(band.low), out.real(band.high);
}

Recipe Recipe::read(ByteReader& in) {
  Recipe recipe;
  recipe.inputs_.resize(in.count(3));
  for (auto& input : recipe.inputs_) {
    input.name = in.text();
    input.grade = in.byte() != 0;
    input.classes.resize(in.count(1));
    for (auto& name : input.classes) name = in.text();
    if (input.classes.size() == 1 || (input.grade && input.classes.empty())) throw BadBytes("a column of one class");
  }
  recipe.limits_.resize(in.count(3));
  for (auto& limit : recipe.limits_) {
    limit.column = in.text(), limit.class_column = in.text();
    for (auto left = in.count(9); left > 0; --left) {
      auto name = in.text();
      limit.limits[std::move(name)] = read_finite(in);
    }
  }
  recipe.bands_.resize(in.count(17));
  for (auto& band : recipe.bands_) band.column = in.text(), band.low = read_finite(in), band.high = read_finite(in);
  if (recipe.inputs_.empty()) throw BadBytes("a recipe without columns");
  recipe.name_columns();
  return recipe;
}

}  // namespace wattd::ml
