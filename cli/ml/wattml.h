#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace wattd::cli {

/// `wattml anomaly` and `wattml anomaly-table`.
struct AnomalyTask {
  std::string model, in, out = "-", value;
  std::string save, load;  ///< A file of the model.
  double threshold = 0;    ///< Of stream; 0: its own.
  std::uint32_t period = 0;
  double most = 0.02, tails = 0.5;
  double false_alarms = 0;  ///< Share of usual values or rows that may be flagged; 0: the model's own.
  std::string direction = "both", only_last, level;
  std::string label;       ///< Empty: `label`, where there is one.
  bool any_model = false;  ///< The file of a model knows which it is.
  std::vector<std::string> ignore;
  std::uint64_t seed = 1;
  bool explain = false;
};
int find_anomalies(const AnomalyTask& task);
int find_anomalies_in_table(const AnomalyTask& task);

/// `wattml forecast`.
struct ForecastTask {
  std::string model = "auto", in, out = "-", value, protocol, hourly, origins, holidays, regressors;
  std::string save, load;  ///< A file of the model.
  std::uint32_t horizon = 168;
  std::uint32_t refit_hours = 72, refresh_hours = 24;
  bool explain = false;
};
int make_forecasts(const ForecastTask& task);

/// `wattml fit`, `wattml predict` and `wattml calibrate`.
struct MaintenanceTask {
  std::string model, in, out = "-", file;
  std::string target, time = "time", event, unit = "unit", age = "cycle";
  std::vector<std::string> ignore, reference, limits, bands;
  std::string ties = "efron", predictions, lives;
  double cap = 125, ridge = 0;
  std::uint32_t folds = 0;
  std::uint64_t seed = 1;
  std::vector<double> survival_at;
  bool last = false, explain = false, hours = false;
};
int fit_maintenance(const MaintenanceTask& task);
int predict_maintenance(const MaintenanceTask& task);
int calibrate_maintenance(const MaintenanceTask& task);

/// `wattml features`: the columns that datasets of the platform have.
struct FeatureTask {
  std::string in, out = "-", holidays;
  std::size_t window = 60;  ///< Rows of the rolling columns.
  std::vector<std::size_t> lags;
  bool seasons = false;
};
int engineer_features(const FeatureTask& task);

/// The exit status: 0, 1 for input that cannot be used, 2 for a wrong call.
int run_wattml(int argc, char** argv);

}  // namespace wattd::cli
