#include "ml-lite/failure/maintenance_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "ml-lite/kinds.h"
#include "ml-lite/model_file.h"

namespace wattd::ml {
namespace {

std::size_t columns_of(const MaintenanceModel::Any& any) {
  return std::visit(
      [](const auto& model) {
        if constexpr (requires { model.columns(); }) {
          return model.columns();
        } else {
          return model.sensors();
        }
      },
      any);
}

}  // namespace

std::string_view MaintenanceModel::kind() const { return kind_of(model); }

std::vector<double> MaintenanceModel::probabilities(const Table& rows) const {
  return std::visit(
      [&](const auto& each) -> std::vector<double> {
        if constexpr (requires { each.predict(rows)[0] + 1.0; }) {
          auto values = each.predict(rows);
          for (double& value : values) value = calibration.of(value);
          return values;
        } else {
          return {};
        }
      },
      model);
}

Result<UnitHistories> MaintenanceModel::histories(std::span<const Column> columns) const {
  const auto find = [&](const std::string& name) { return std::ranges::find(columns, name, &Column::name); };
  const auto units = find(unit), ages = find(age);
  if (units == columns.end() || ages == columns.end())
    return fail(ErrorKind::permanent, fmt::format("there is no column {}", units == columns.end() ? unit : age));
  auto rows = recipe.rows(columns);
  if (!rows) return std::unexpected(rows.error());
  UnitHistories histories{std::move(*rows), {}, ages->numbers};
  std::map<std::string, std::uint32_t> known;
  for (std::size_t row = 0; row < units->numbers.size(); ++row) {
    const auto name = units->is_text() ? units->texts[row] : fmt::format("{}", units->numbers[row]);
    histories.unit.push_back(known.try_emplace(name, static_cast<std::uint32_t>(known.size())).first->second);
    if (!std::isfinite(histories.age[row]))
      return fail(ErrorKind::permanent, fmt::format("the {} of row {} is missing", age, row + 1));
  }
  return histories;
}

void MaintenanceModel::write(ByteWriter& out) const {
  recipe.write(out);
  for (const auto& name : {target, event, unit, age}) out.text(name);
  write_any(out, model);
  calibration.write(out);
}

MaintenanceModel MaintenanceModel::read(ByteReader& in) {
  MaintenanceModel result;
  result.recipe = Recipe::read(in);
  for (auto* name : {&result.target, &result.event, &result.unit, &result.age}) *name = in.text();
  result.model = read_any<Any>(in);
  result.calibration = Calibration::read(in);
  if (columns_of(result.model) != result.recipe.names().size()) throw BadBytes("the recipe does not match the model");
  return result;
}

}  // namespace wattd::ml
