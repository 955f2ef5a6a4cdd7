# tandem_flags(<target>): our warnings and the chosen sanitizer, for our own targets only.
option(TANDEM_WERROR "Treat warnings as errors" OFF)
set(TANDEM_SANITIZE "" CACHE STRING "Value for -fsanitize=, for example address,undefined or thread")

function(tandem_flags target)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor
    $<$<BOOL:${TANDEM_WERROR}>:-Werror>)
  if(TANDEM_SANITIZE)
    # PUBLIC: a program with one instrumented part must link the sanitizer's runtime as well.
    target_compile_options(${target} PUBLIC $<BUILD_INTERFACE:-fsanitize=${TANDEM_SANITIZE}>
      $<BUILD_INTERFACE:-fno-sanitize-recover=all> $<BUILD_INTERFACE:-fno-omit-frame-pointer>)
    target_link_options(${target} PUBLIC $<BUILD_INTERFACE:-fsanitize=${TANDEM_SANITIZE}>)
  endif()
endfunction()
