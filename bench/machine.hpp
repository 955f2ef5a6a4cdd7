#pragma once

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>

#include "json.hpp"

namespace bench {

/// Where and when something was measured.
struct Machine {
  std::string date;       ///< UTC
  std::string processor;  ///< as it calls itself
  unsigned cores;
  std::string kernel;
  double load;  ///< the average of one minute: what was going on before

  [[nodiscard]] static Machine now() {
    utsname system{};
    ::uname(&system);
    double load = 0;
    ::getloadavg(&load, 1);
    return {fmt::format("{:%Y-%m-%d %H:%M}", fmt::gmtime(std::time(nullptr))), processor_name(),
            std::thread::hardware_concurrency(),
            fmt::format("{} {}", system.sysname, system.release), load};
  }

  void add_to(Json& json) const {
    json.field("date", date);
    json.field("processor", processor);
    json.field("cores", cores);
    json.field("kernel", kernel);
    json.field("load_average", load);
  }
  [[nodiscard]] std::string text() const {
    return fmt::format("{}, {} cores, load average {:.2f}, {}", processor, cores, load, kernel);
  }

 private:
  static std::string processor_name() {
    std::ifstream file{"/proc/cpuinfo"};
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
    }
    return "unknown";
  }
};

}  // namespace bench
