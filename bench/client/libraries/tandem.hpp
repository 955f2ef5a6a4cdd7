#pragma once

#include <string>

#include <tandem/client.hpp>

#include "client/library.hpp"
#include "client/transport.hpp"

namespace bench {

/// One `tandem::Client` for all callers.
class TandemClient final : public Library {
 public:
  explicit TandemClient(Transport const& to)
      : client_{to.is_tls() ? to.url() + "?ca=" + to.authority : to.url()} {}

  void set(int /*caller*/, std::string const& key, std::string const& value) override {
    (void)client_.command("SET", key, value);
  }
  void get(int /*caller*/, std::string const& key) override { (void)client_.command("GET", key); }

 private:
  tandem::Client client_;
};

}  // namespace bench
