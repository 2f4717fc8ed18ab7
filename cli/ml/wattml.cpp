#include "cli/ml/wattml.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <vector>

#include "cli/ml/frame.h"
#include "ml-lite/forecast/series_input.h"
#include "telemetry/version.h"

namespace wattd::cli {
namespace {

constexpr const char* kCalls = R"(
Every call in full. Files are CSV with a header, plain or gzip, or C-MAPSS text; --out - is standard output.

Anomalies of a series, value by value as they come, no look ahead (timestamp,value -> timestamp,…,anomaly_score,…):
  wattml anomaly --model stream --in series.csv.gz --out scores/category/series.csv
  score_nab.py --windows windows.json --results scores --profile standard
  The score counts decades of surprise and holds back after an alarm; one threshold for all series: 2.1 (the flag),
  2.35 on the NAB corpus, 2.0 on hourly meters; rate is the share of usual values that score as high. Other models look at the whole series at once:
  wattml anomaly --model s-h-esd --max-anomalies 0.02 --direction both --in series.csv --out scores.csv
  wattml anomaly --model s-h-esd --max-anomalies 0.02 --direction both --only-last day --in series.csv --out scores.csv
  wattml anomaly --model s-h-esd --max-anomalies 0.02 --direction both --level med_max --in series.csv --out scores.csv

Anomalies of rows; fitted on all rows without the label, which is only carried along (x0,…,label -> label,score,rate,anomaly);
rate is the share of usual rows that score as high, and --false-alarms bounds it:
  wattml anomaly-table --model ensemble --in rows.csv.gz --out scores.csv
  wattml anomaly-table --model isolation-forest --in rows.csv.gz --out scores.csv
  wattml anomaly-table --model ensemble --false-alarms 0.001 --in usual.csv --save usual.wml --out scores.csv
  wattml anomaly-table --load usual.wml --false-alarms 0.001 --explain --in new.csv --out scores.csv
  score_tabular.py anomaly --pred scores.csv

Forecasts (timestamp,value -> origin,timestamp,mean,lo80,hi80,lo95,hi95); only rows up to an origin are used:
  wattml forecast --model auto --in series.csv.gz --protocol rolling56 --out week.csv         14 origins, 168 steps each
  wattml forecast --model auto --in series.csv.gz --protocol rolling56-hourly --out hour.csv  every hour, one step
  wattml forecast --model auto --in series.csv.gz --protocol rolling56 --out week.csv --hourly hour.csv   both at once
  score_forecast.py --actual series.csv.gz --forecast week.csv --horizons 24,168
  score_forecast.py --actual series.csv.gz --forecast hour.csv --horizons 1
  wattml forecast --model auto --in series.csv --origins origins.csv --horizon 24 --out day.csv
  wattml forecast --model auto --in series.csv --horizon 168 --out ahead.csv                  from the end of the file
  wattml forecast --model auto --in series.csv --save load.wml --explain --out ahead.csv      what it is worth on standard error
  wattml forecast --load load.wml --in later.csv --horizon 24 --out ahead.csv                 later.csv goes on where it ended

Failures (0 or 1) from rows; flags that are set only at failures are left out (-> label,prob):
  wattml fit --model failure --target "Machine failure" --ignore "UDI,Product ID,TWF,HDF,PWF,OSF,RNF" \
    --limit strain:Type:L=11000,M=12000,H=13000 --band power:3500:9000 --in ai4i.csv.gz --save ai4i.wml
  wattml predict --model failure --load ai4i.wml --in more.csv --out predictions.csv
  wattml fit … --folds 5 --seed 1 --predictions predictions.csv    each row judged by a model that has not seen it
  score_tabular.py classify --pred predictions.csv

A model from elsewhere, the shipped one too, on a site whose own rows tell how often its machines fail:
  wattml calibrate --load /usr/share/wattd/models/motor-failure.wml --in labelled.csv --save ours.wml

Remaining useful life from whole histories of units (unit,cycle,sensors -> rul,pred,lo,hi):
  wattml fit --model remaining-life --unit unit --age cycle --cap 125 --in train_FD001.txt --save engines.wml
  wattml predict --load engines.wml --in test_FD001.txt --lives RUL_FD001.txt --out predictions.csv   last row of each unit
  wattml predict --load engines.wml --in other_engines.txt --out predictions.csv   each unit's last row is its failure
  wattml fit … --folds 5 --seed 1 --predictions predictions.csv    folds by unit
  score_tabular.py rul --pred predictions.csv --cap 125

Survival (Cox; coefficients and log-likelihood on standard output; -> time,event,risk[,s<t>]):
  wattml fit --model cox --ties efron --time week --event arrest --in rossi.csv --save rossi.wml
  wattml fit --model cox --ties breslow --time time --event cens --reference menostat=Pre --in gbsg2.csv --save gbsg2.wml
  wattml predict --load rossi.wml --in rossi.csv --survival-at 26,52 --out predictions.csv
  score_tabular.py survival --pred predictions.csv

Columns for models of your own (timestamp,voltage,current,power -> hour, power_factor, power_rolling_mean, …):
  wattml features --window 60 --lags 1,12 --seasons --holidays dates.csv --in readings.csv --out features.csv

Other models by name: anomaly --model isolation-forest|autoencoder, anomaly-table --model autoencoder --explain,
forecast --model linear|load|seasonal-naive|holt-winters|sarima|additive|lstm, with --holidays dates.csv (auto, load, linear, additive,
lstm) and --regressors weather.csv (all; taken off before and added after, where they explain a twentieth of the changes), fit --model random-forest|gradient-boosting, predict --explain.

Models are deterministic for a --seed. Exit status: 0, 1 for input that cannot be used (standard error says where and
why), 2 for a wrong call.)";

using Action = std::function<int()>;

/// Options that only some models of a command have: given with another one they would do nothing.
class Concerns {
 public:
  void of(CLI::Option* option, const std::string& model, std::vector<std::string> models) {
    all_.push_back({option, &model, std::move(models)});
  }
  /// Errors: throws CLI::ValidationError.
  void check() const {
    for (const auto& [option, model, models] : all_) {
      if (option->count() != 0 && std::ranges::count(models, *model) == 0)
        throw CLI::ValidationError(option->get_name(),
                                   fmt::format("is not for the model {}, but for {}", *model, fmt::join(models, ", ")));
    }
  }

 private:
  struct Concern {
    CLI::Option* option;
    const std::string* model;
    std::vector<std::string> models;
  };
  std::vector<Concern> all_;
};

CLI::App* add(CLI::App& app, const char* name, const char* help, Action& chosen, Action action) {
  auto* command = app.add_subcommand(name, help);
  command->callback([&chosen, action = std::move(action)] { chosen = action; });
  return command;
}

const std::vector<std::string> kRowModels{"ensemble", "isolation-forest", "autoencoder"};

/// Of `anomaly`: what s-h-esd alone has.
void add_seasonal(CLI::App& series, AnomalyTask& task, Concerns& concerns) {
  for (auto* option :
       {series.add_option("--period", task.period, "Steps of the season (s-h-esd; a day)")
            ->check(CLI::Range(2, 1'000'000)),
        series.add_option("--direction", task.direction, "both, above or below (s-h-esd)")
            ->check(CLI::IsMember({"both", "above", "below"})),
        series.add_option("--max-anomalies", task.most, "Share of the values that are flagged at most (s-h-esd; 0.02)")
            ->check(CLI::Range(1e-6, 0.49)),
        series.add_option("--only-last", task.only_last, "day or hour: flag no earlier ones (s-h-esd)")
            ->check(CLI::IsMember({"day", "hour"})),
        series
            .add_option("--level", task.level,
                        "Flag only values of at least the median, p95 or p99 of the days' highest (s-h-esd)")
            ->check(CLI::IsMember({"med_max", "p95", "p99"}))})
    concerns.of(option, task.model, {"s-h-esd"});
}

/// What all but s-h-esd have.
void add_kept_models(CLI::App& command, AnomalyTask& task, Concerns& concerns) {
  auto kept = kRowModels;
  kept.emplace_back("stream");
  auto* save = command.add_option("--save", task.save, "The model; of stream: what it knows at the end of the file");
  auto* load = command.add_option("--load", task.load, "A model that was saved: no row is fitted on, a stream goes on");
  auto* rate = command
                   .add_option("--false-alarms", task.false_alarms,
                               "Flag what at most this share of usual values scores as high as (rows: 0.01; stream: "
                               "what a score of 2.1 stands for, about 0.001)")
                   ->check(CLI::Range(1e-6, 0.49));
  for (auto* option : {save, load, rate}) concerns.of(option, task.model, kept);
  concerns.of(command.add_option("--seed", task.seed, "Of forests and networks (1)")->excludes(load), task.model,
              kRowModels);
}

void add_anomaly(CLI::App& app, AnomalyTask& task, AnomalyTask& of_table, Action& chosen, Concerns& concerns) {
  auto* series = add(app, "anomaly", "Scores each value of a series", chosen, [&task] { return find_anomalies(task); });
  auto* table = add(app, "anomaly-table", "Scores each row of a table", chosen,
                    [&of_table] { return find_anomalies_in_table(of_table); });
  series
      ->add_option("--model", task.model,
                   "stream (value by value), s-h-esd, isolation-forest or autoencoder (whole series)")
      ->default_val("stream")
      ->check(CLI::IsMember({"stream", "s-h-esd", "isolation-forest", "autoencoder"}));
  series->add_option("--value", task.value, "The column (value, y or the only one)");
  add_seasonal(*series, task, concerns);
  table
      ->add_option("--model", of_table.model,
                   "ensemble (isolation forest, tails, robust distance), isolation-forest or autoencoder")
      ->default_val("ensemble")
      ->check(CLI::IsMember(kRowModels));
  table->add_option("--label", of_table.label, "A column that is carried along and never looked at (label)");
  table->add_option("--ignore", of_table.ignore, "Columns that are no features, comma separated")->delimiter(',');
  concerns.of(table
                  ->add_option("--tails", of_table.tails,
                               "Heavy-tailed columns are cut more often, by this power of their kurtosis "
                               "(isolation-forest; 0.5; 0: all alike)")
                  ->check(CLI::Range(0.0, 2.0)),
              of_table.model, {"isolation-forest"});
  table->add_flag("--explain", of_table.explain, "Add the column that speaks loudest in each flagged row");
  for (const auto& [command, its] : {std::pair{series, &task}, {table, &of_table}}) {
    command->add_option("--in", its->in, "The file")->required();
    command->add_option("--out", its->out, "The scores (standard output)");
    add_kept_models(*command, *its, concerns);
  }
  concerns.of(series->add_option("--threshold", task.threshold, "Flag scores of at least this (stream; 2.1)")
                  ->check(CLI::PositiveNumber)
                  ->excludes(series->get_option("--false-alarms")),
              task.model, {"stream"});
  of_table.any_model = true;
  for (const char* fitting : {"--model", "--ignore", "--tails"})
    table->get_option("--load")->excludes(table->get_option(fitting));
}

void add_forecast(CLI::App& app, ForecastTask& task, Action& chosen, Concerns& concerns) {
  auto* command = add(app, "forecast", "Forecasts a series, with 80 and 95 % bands", chosen,
                      [&task] { return make_forecasts(task); });
  auto* model = command->add_option("--model", task.model, "One of " + ml::method_names() + " (auto)");
  command->add_option("--in", task.in, "The series")->required();
  command->add_option("--out", task.out, "The forecasts (standard output)");
  command->add_option("--value", task.value, "The column (value, y or the only one)");
  auto* protocol = command->add_option("--protocol", task.protocol, "rolling56 or rolling56-hourly")
                       ->check(CLI::IsMember({"rolling56", "rolling56-hourly"}));
  command
      ->add_option("--hourly", task.hourly,
                   "With rolling56: every hour's next one too, into this file, from the same fits")
      ->needs(protocol);
  auto* origins =
      command->add_option("--origins", task.origins, "A file of origins, a time a line (the end of the series)")
          ->excludes(protocol);
  command->add_option("--horizon", task.horizon, "Steps ahead (168)")->check(CLI::Range(1, 100'000));
  command->add_option("--refit-hours", task.refit_hours, "Hours of the series between fits with their rehearsals (72)")
      ->check(CLI::Range(1, 100'000));
  command->add_option("--refresh-hours", task.refresh_hours, "Hours between fits on the bands of before (24)")
      ->check(CLI::Range(1, 100'000));
  command->add_flag("--explain", task.explain, "Add what the parts of each forecast are");
  auto* save = command->add_option("--save", task.save, "The model, as it stands at the last origin");
  auto* load = command
                   ->add_option("--load", task.load,
                                "A model that was saved: the file goes on where it ended, and nothing is fitted")
                   ->excludes(model)
                   ->excludes(save)
                   ->excludes(protocol)
                   ->excludes(origins);
  command->add_option(
      "--regressors", task.regressors,
      "A file of the series' times and further ones, with columns that are known ahead: weather, sun, a plan");
  concerns.of(command
                  ->add_option("--holidays", task.holidays,
                               "A file of dates on which the site lives as on a Sunday, past and future")
                  ->excludes(load),
              task.model, {"auto", "load", "linear", "additive", "lstm"});
}

void add_recipe(CLI::App& fit, MaintenanceTask& task, Concerns& concerns) {
  concerns.of(fit.add_option("--target", task.target, "Column of the failure, 0 or 1; or of any number for the trees"),
              task.model, {"failure", "random-forest", "gradient-boosting"});
  for (auto* option :
       {fit.add_option("--time", task.time, "Of cox: how long a row was seen (time)"),
        fit.add_option("--event", task.event, "Of cox: 1 where that ended with the event, 0 where it is not known"),
        fit.add_option("--ties", task.ties, "Of cox: efron or breslow")->check(CLI::IsMember({"efron", "breslow"})),
        fit.add_option("--ridge", task.ridge, "Of cox: penalty, for columns that depend on each other (0)")
            ->check(CLI::NonNegativeNumber)})
    concerns.of(option, task.model, {"cox"});
  for (auto* option : {fit.add_option("--unit", task.unit, "Of remaining-life: which unit (unit)"),
                       fit.add_option("--age", task.age, "Of remaining-life: its age (cycle)"),
                       fit.add_option("--cap", task.cap, "Of remaining-life: longer lives are all alike (125)")
                           ->check(CLI::PositiveNumber)})
    concerns.of(option, task.model, {"remaining-life"});
  fit.add_option("--ignore", task.ignore, "Columns that are no features, comma separated")->delimiter(',');
  fit.add_option("--reference", task.reference,
                 "COLUMN=CLASS that the others are told against (the first); may be given again")
      ->allow_extra_args(false);
  fit.add_option("--limit", task.limits,
                 "COLUMN:CLASS COLUMN:CLASS=LIMIT,…: a rated limit by class; adds the share of it; may be given again")
      ->allow_extra_args(false);
  fit.add_option("--band", task.bands,
                 "COLUMN:LOW:HIGH: a rated band; adds the distance from its middle; may be given again")
      ->allow_extra_args(false);
}

void add_maintenance(CLI::App& app, MaintenanceTask& task, Action& chosen, Concerns& concerns) {
  const auto names = CLI::IsMember({"failure", "random-forest", "gradient-boosting", "cox", "remaining-life"});
  auto* fit = add(app, "fit", "Fits a model of failures, survival or remaining life", chosen,
                  [&task] { return fit_maintenance(task); });
  fit->add_option(
         "--model", task.model,
         "failure (random forest and boosting together), random-forest, gradient-boosting, cox or remaining-life")
      ->required()
      ->check(names);
  fit->add_option("--in", task.in, "The rows")->required();
  fit->add_option("--save", task.file, "The model");
  add_recipe(*fit, task, concerns);
  fit->add_option("--folds", task.folds,
                  "Judge each row by a model that has not seen its fold; measures on standard error")
      ->check(CLI::Range(2, 100));
  fit->add_option("--predictions", task.predictions, "Those judgements");
  auto* predict = add(app, "predict", "What a fitted model says of other rows", chosen,
                      [&task] { return predict_maintenance(task); });
  predict->add_option("--model", task.model, "Not needed: the file knows")->check(names);
  predict->add_option("--target", task.target, "Not needed: the file knows");
  predict->add_option("--load", task.file, "The model")->required();
  predict->add_option("--in", task.in, "The rows")->required();
  predict->add_option("--out", task.out, "The predictions (standard output)");
  predict->add_option(
      "--lives", task.lives,
      "Of remaining-life: what is left after each unit's last row, a number a line; that row alone is written");
  predict->add_flag("--last", task.last, "Of remaining-life: the last row of each unit alone");
  predict->add_flag("--explain", task.explain, "Add the three columns that say most of each row");
  predict->add_flag(
      "--hours", task.hours,
      "Of failure probabilities: add time_to_failure_hours (1 above 0.8, 6 above 0.6, 24 above 0.4, else -1)");
  auto* calibrate = add(app, "calibrate", "Makes the probabilities of a model that was fitted elsewhere a site's own",
                        chosen, [&task] { return calibrate_maintenance(task); });
  calibrate->add_option("--load", task.file, "The model of failures")->required();
  calibrate->add_option("--in", task.in, "Rows of the site, failures among them")->required();
  calibrate->add_option("--target", task.target, "Column of the failure, 0 or 1 (the model's)");
  calibrate->add_option("--save", task.out, "The model with its calibration")->required();
  for (auto* command : {fit, predict}) {
    command->add_option("--seed", task.seed, "Of forests and folds (1)");
    command->add_option("--survival-at", task.survival_at, "Of cox: times, comma separated")->delimiter(',');
  }
}

}  // namespace

int run_wattml(int argc, char** argv) {
  CLI::App app("wattml: the models of the wattd energy gateway, on files");
  app.footer(kCalls);
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("wattml ") + kVersion);
  AnomalyTask anomaly, table;
  ForecastTask forecast;
  MaintenanceTask maintenance;
  FeatureTask features;
  Action chosen;
  Concerns concerns;
  add_anomaly(app, anomaly, table, chosen, concerns);
  add_forecast(app, forecast, chosen, concerns);
  add_maintenance(app, maintenance, chosen, concerns);
  auto* engineer = add(app, "features", "Adds calendar, rolling, rate and lag columns, and the power factor", chosen,
                       [&features] { return engineer_features(features); });
  engineer->add_option("--in", features.in, "timestamp and columns of numbers")->required();
  engineer->add_option("--out", features.out, "The same and more (standard output)");
  engineer->add_option("--window", features.window, "Rows of the rolling columns (60)")
      ->check(CLI::Range(2, 1'000'000));
  engineer->add_option("--lags", features.lags, "Rows back, comma separated")
      ->delimiter(',')
      ->check(CLI::Range(1, 1'000'000));
  engineer->add_option("--holidays", features.holidays, "A file of dates, for is_holiday");
  engineer->add_flag("--seasons", features.seasons, "Add sine and cosine of the day, the week and the year");
  try {
    app.parse(argc, argv);
    concerns.check();
  } catch (const CLI::ParseError& problem) {
    return app.exit(problem) == 0 ? 0 : 2;
  }
  try {
    return chosen();
  } catch (const std::exception& problem) {  // BadInput, or what no input should bring about
    fmt::print(stderr, "wattml: {}\n", problem.what());
    return 1;
  }
}

}  // namespace wattd::cli
