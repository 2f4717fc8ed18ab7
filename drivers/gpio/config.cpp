// [[gpio]] with its pulses, inputs and outputs.
#include <fmt/format.h>

#include <set>

#include "drivers/gpio/gpio.h"
#include "telemetry/measurand.h"

namespace wattd::drivers::gpio {
namespace {

using namespace std::chrono_literals;

LineConfig parse_line(const config::Table& table, bool is_output) {
  LineConfig line{.is_output = is_output};
  line.offset = static_cast<int>(table.integer("line", 0, 1023));
  line.active_low = table.boolean("active_low", false);
  if (!is_output)
    line.bias = table.choice<Bias>(
        "bias",
        {{"as-is", Bias::as_is}, {"none", Bias::none}, {"pull-up", Bias::pull_up}, {"pull-down", Bias::pull_down}},
        Bias::as_is);
  return line;
}

std::string parse_device(const config::Table& table) {
  auto device = table.text("device");
  if (!is_valid_device_id(device)) table.fail("device", "expected 1 to 50 printable characters without / + #");
  return device;
}

std::chrono::milliseconds parse_debounce(const config::Table& table) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(table.duration("debounce", 0ms, 10s, 20ms));
}

double above_zero(const config::Table& table, const char* key, double fallback) {
  const auto value = table.number(key, fallback);
  if (!(value > 0)) table.fail(key, "expected a number above 0");
  return value;
}

PulseConfig parse_pulse(const config::Table& table) {
  PulseConfig pulse{.device = parse_device(table), .line = parse_line(table, false)};
  pulse.debounce = parse_debounce(table);
  pulse.measurand = table.text("measurand", pulse.measurand);
  const auto known = find_measurand(pulse.measurand);
  if (!known || !known->counter)
    table.fail("measurand", "expected a counter of the vocabulary, such as energy_import_total or volume_total");
  pulse.per_unit = above_zero(table, "pulses_per_unit", pulse.per_unit);
  pulse.factor = above_zero(table, "factor", pulse.factor);
  pulse.start = table.number("start", 0);
  if (pulse.start < 0) table.fail("start", "expected what the meter's display showed before the first pulse");
  table.reject_unknown_keys();
  return pulse;
}

InputConfig parse_input(const config::Table& table) {
  InputConfig input{.device = parse_device(table)};
  input.field = table.text("field", input.field);
  if (input.field.empty() || input.field == "timestamp" || input.field == "device_id")
    table.fail("field", "expected a name other than timestamp and device_id");
  input.line = parse_line(table, false);
  input.debounce = parse_debounce(table);
  table.reject_unknown_keys();
  return input;
}

OutputConfig parse_output(const config::Table& table) {
  OutputConfig output{.line = parse_line(table, true)};
  output.id = table.text("id", fmt::format("line {}", output.line.offset));
  output.channel = table.text("channel", "");
  if (!output.channel.empty() && table.has("severity"))
    table.fail("severity",
               "expected none beside channel: the relay is on while an alert of a rule stands that names it");
  output.severity = table.choice<Severity>("severity",
                                           {{"low", Severity::low},
                                            {"medium", Severity::medium},
                                            {"high", Severity::high},
                                            {"critical", Severity::critical}},
                                           Severity::critical);
  table.reject_unknown_keys();
  return output;
}

}  // namespace

ChipConfig parse_chip(const config::Table& table) {
  ChipConfig chip{.chip = table.text("chip")};
  if (chip.chip.empty()) table.fail("chip", "expected a chip such as gpiochip0; gpiodetect names them");
  chip.period = std::chrono::duration_cast<std::chrono::seconds>(table.duration("period", 1s, 24h, chip.period));
  std::set<int> lines;
  std::set<std::string> counters, fields;
  const auto take = [&](const config::Table& row, const LineConfig& line) {
    if (!lines.insert(line.offset).second) row.fail("line", "expected a line that is not used above");
  };
  for (const auto& row : table.tables("pulses")) {
    chip.pulses.push_back(parse_pulse(row));
    take(row, chip.pulses.back().line);
    if (!counters.insert(chip.pulses.back().device).second)
      row.fail("device", "expected one pulse output a device: its total stands under the device's name");
  }
  for (const auto& row : table.tables("inputs")) {
    chip.inputs.push_back(parse_input(row));
    take(row, chip.inputs.back().line);
    if (!fields.insert(chip.inputs.back().device + '\n' + chip.inputs.back().field).second)
      row.fail("field", "expected a field that the device does not have yet");
  }
  for (const auto& row : table.tables("outputs")) {
    chip.outputs.push_back(parse_output(row));
    take(row, chip.outputs.back().line);
  }
  if (lines.empty())
    table.fail("pulses", "expected at least one of [[gpio.pulses]], [[gpio.inputs]], [[gpio.outputs]]");
  table.reject_unknown_keys();
  return chip;
}

}  // namespace wattd::drivers::gpio
