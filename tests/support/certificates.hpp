#pragma once

#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

#include "support/scratch_folder.hpp"

namespace tandem::support {

/// An authority and what it signs, as PEM files in a folder of their own, made by the program
/// openssl.
class Certificates {
 public:
  struct Signed {
    std::string certificate;
    std::string key;
  };

  Certificates() {
    run("req -x509 " + new_key("ca") + " -days 2 -subj /CN=authority -out " + file("ca.pem"));
  }

  [[nodiscard]] std::string authority() const { return file("ca.pem"); }

  /// Signs a key for `names`, for example "DNS:localhost,IP:127.0.0.1".
  [[nodiscard]] Signed sign(std::string const& who, std::string const& names) const {
    run("req -new " + new_key(who) + " -subj /CN=" + who + " -out " + file(who + ".csr"));
    std::ofstream{file(who + ".ext")} << "subjectAltName=" << names << '\n';
    run("x509 -req -days 2 -set_serial 1 -CA " + file("ca.pem") + " -CAkey " + file("ca.key") +
        " -in " + file(who + ".csr") + " -extfile " + file(who + ".ext") + " -out " +
        file(who + ".pem"));
    return {file(who + ".pem"), file(who + ".key")};
  }

 private:
  [[nodiscard]] std::string file(std::string const& name) const { return folder_.path(name); }
  [[nodiscard]] std::string new_key(std::string const& who) const {
    return "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout " + file(who + ".key");
  }
  static void run(std::string const& arguments) {
    auto const command = "openssl " + arguments + " 2>/dev/null";
    if (std::system(command.c_str()) != 0) {  // NOLINT(concurrency-mt-unsafe)
      throw std::runtime_error{"openssl " + arguments +
                               " failed (Debian: apt-get install openssl)"};
    }
  }

  ScratchFolder folder_{};
};

}  // namespace tandem::support
