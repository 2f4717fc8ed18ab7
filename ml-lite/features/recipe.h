#pragma once
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ml-lite/table.h"
#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

/// A named column: numbers (NaN: missing), or texts where any of its cells is none.
struct Column {
  std::string name;
  std::vector<double> numbers;
  std::vector<std::string> texts;  ///< Empty for a column of numbers.
  bool is_text() const { return !texts.empty(); }
};

/// What a data sheet allows: the column is divided by the limit of the row's class.
struct RatedLimit {
  std::string column, class_column;
  std::map<std::string, double> limits;
};
/// What a data sheet allows on both sides: how far the column is from the middle of it.
struct RatedBand {
  std::string column;
  double low = 0, high = 0;
};

struct RecipeOptions {
  std::vector<std::string>
      ignore;  ///< Columns that are no features: the target, identifiers, what is known only afterwards.
  std::map<std::string, std::string>
      reference;  ///< The class that others of a text column are told against; the first by name.
  std::vector<RatedLimit> limits;
  std::vector<RatedBand> bands;
};

/// How the columns of a file become the numbers that a model is fitted on, so that later files are read the same way.
/// Texts become numbers: L < M < H (and low < medium < high) a grade, others a 0 or 1 for each class but the reference.
/// Units in square brackets make what physics says belongs together: Nm and rpm a `power`, Nm and min of wear a
/// `strain`, two temperatures in K or °C their `temperature difference`.
class Recipe {
 public:
  /// `target`, where not empty: 0 or 1 for each row. Columns that tell it by themselves (a flag that is set only where
  /// it is 1), row numbers, texts with more than 20 classes and columns that never change are left out.
  static Result<Recipe> learn(std::span<const Column> columns, const RecipeOptions& options,
                              std::span<const double> target = {});

  /// Shape: a row for each of the columns' and a column for each of names(). Errors: permanent, when a column is not
  /// there.
  Result<Table> rows(std::span<const Column> columns) const;
  const std::vector<std::string>& names() const { return names_; }
  /// What learn() left out of its own accord, and why; not kept.
  const std::vector<std::string>& left_out() const { return left_out_; }

  void write(ByteWriter& out) const;
  static Recipe read(ByteReader& in);

 private:
  struct Input {
    std::string name;
    std::vector<std::string> classes;  ///< Of a text; empty: numbers.
    bool grade = false;
  };
  Result<std::vector<std::vector<double>>> plain(std::span<const Column> columns) const;
  void name_columns();

  std::vector<Input> inputs_;
  std::vector<RatedLimit> limits_;
  std::vector<RatedBand> bands_;
  std::vector<std::string> names_;
  std::vector<std::string> left_out_;
};

}  // namespace wattd::ml
