# What `cmake --install` puts down: the library, its headers, a package for find_package(tandem),
# and tandem.pc.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(tandem_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/tandem")

# Debian 12 has no hiredis >= 1.0 in a place every compiler looks, so the package remembers where
# the build had it from, as the last place to look.
if(NOT TANDEM_FETCH_DEPS) # a fetched hiredis is installed beside tandem
  get_target_property(hiredis_include_dir hiredis::hiredis INTERFACE_INCLUDE_DIRECTORIES)
  cmake_path(GET hiredis_include_dir PARENT_PATH tandem_hiredis_prefix)
endif()
configure_package_config_file(cmake/tandem-config.cmake.in tandem-config.cmake
  INSTALL_DESTINATION "${tandem_package_dir}")
write_basic_package_version_file(tandem-config-version.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS tandem EXPORT tandem-targets FILE_SET HEADERS FILE_SET optional)
install(EXPORT tandem-targets NAMESPACE tandem:: DESTINATION "${tandem_package_dir}")
install(FILES
  "${CMAKE_CURRENT_BINARY_DIR}/tandem-config.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/tandem-config-version.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/FindHiredis.cmake"
  DESTINATION "${tandem_package_dir}")

# A shared libtandem brings its own dependencies along, so tandem.pc names none. A static one needs
# them at every link, with --static or without, so they are not in the .private fields.
if(NOT BUILD_SHARED_LIBS)
  set(tandem_pc_requires "fmt openssl")
  if(TANDEM_FETCH_DEPS)
    set(tandem_pc_libs "-lhiredis") # installed beside libtandem.a
  else()
    set(tandem_pc_libs "\"$<TARGET_LINKER_FILE:hiredis::hiredis>\"") # quoted: a path may have spaces
  endif()
endif()
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
  BASE_DIRECTORY "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" OUTPUT_VARIABLE tandem_pc_prefix)
configure_file(cmake/tandem.pc.in tandem.pc.in @ONLY)
file(GENERATE OUTPUT tandem.pc INPUT "${CMAKE_CURRENT_BINARY_DIR}/tandem.pc.in")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/tandem.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
