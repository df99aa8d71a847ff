# What differs with Visual Studio. Kernels use vector types, target attributes and builtins that gcc and clang have: the compiler has
# to be clang-cl, which Visual Studio brings ("C++ Clang tools for Windows") and its generator takes as the toolset ClangCL.
#
# Checked as far as that goes without Windows: all sources compile for it with MinGW's gcc, and clang-cl takes these flags. No
# Windows machine has built this yet.
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  message(FATAL_ERROR "instaseg needs clang-cl on Windows, found ${CMAKE_CXX_COMPILER_ID}. "
    "Install \"C++ Clang tools for Windows\" with Visual Studio, and pass --toolset ClangCL to cmake-js.")
endif()

# clang-cl takes gcc's spelling of options that MSVC has not behind /clang:, and reads -Wall as every warning there is.
set(INSTASEG_CXX_FLAGS /EHsc /W3 /clang:-ffp-contract=off -Wno-missing-field-initializers)
set(INSTASEG_OPTIMIZE /clang:-O3)

# __builtin_cpu_supports is in the compiler's runtime library, which a linker that is not called by clang does not know.
execute_process(
  COMMAND ${CMAKE_CXX_COMPILER} /clang:--rtlib=compiler-rt /clang:-print-libgcc-file-name
  OUTPUT_VARIABLE INSTASEG_COMPILER_RT
  OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)
file(TO_CMAKE_PATH "${INSTASEG_COMPILER_RT}" INSTASEG_COMPILER_RT)
target_link_libraries(instaseg PRIVATE ${INSTASEG_COMPILER_RT})

# Node's own functions: cmake-js has them as a list, of which the linker wants a library.
if(CMAKE_JS_NODELIB_DEF AND CMAKE_JS_NODELIB_TARGET)
  execute_process(
    COMMAND ${CMAKE_AR} /def:${CMAKE_JS_NODELIB_DEF} /out:${CMAKE_JS_NODELIB_TARGET} ${CMAKE_STATIC_LINKER_FLAGS}
    COMMAND_ERROR_IS_FATAL ANY)
endif()
