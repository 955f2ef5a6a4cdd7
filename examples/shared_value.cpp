// A rate that any number of processes read and change; prints, as soon as it is above 1.1:
//
//     sell at 1.12
#include <cstdio>
#include <optional>
#include <thread>

#include <tandem/shared_value.hpp>

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::SharedValue<double> rate{redis, "example:rate"};  // redis-cli GET example:rate
  rate.set(1.08);

  std::jthread market{[rate]() mutable {  // another process, as a rule
    rate.update([](std::optional<double> now) { return now.value_or(0) + 0.04; });
  }};

  // The server wakes it when the rate changes.
  double const high = rate.wait_until([](double now) { return now > 1.1; });
  std::printf("sell at %.2f\n", high);
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
