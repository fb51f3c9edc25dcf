# quickstart.ps1 - from a Windows machine to a broker at work in one command.
#
# NOT RUN HERE: the machine on which this project is built has no Windows. It has never been run.
#
# Needs: Visual Studio 2022 (C), CMake 3.25 or later, Ninja, and vcpkg with VCPKG_ROOT set; a
# "x64 Native Tools" PowerShell, not as administrator: what is built here, and the tools that build
# it, need no such rights. Two steps do, and Windows asks for each: one copies the two programs
# to %ProgramFiles%\Sluice, where only administrators can change them, and installs the service
# from there; the other removes both.
#   .\deploy\quickstart.ps1
param(
    [int]$Workers = 10,
    [int]$Iterations = 2000,
    [string]$Allow = "$env:USERDOMAIN\$env:USERNAME"
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$root = Split-Path -Parent $PSScriptRoot
. (Join-Path $PSScriptRoot 'lib.ps1')

Test-Requirements
if (Test-Elevated) {
    throw 'run it without administrator rights: it asks for them where they are needed'
}
Write-Output '1. Build (CMake, vcpkg).'
Invoke-Checked cmake --preset windows-msvc
Invoke-Checked cmake --build --preset windows-msvc

$built = Join-Path $root 'build\windows-msvc\bin'
$name = "sluice-quickstart-$PID"
# As the system knows it; the environment is ours to change.
$programs = Join-Path ([Environment]::GetFolderPath('ProgramFiles')) 'Sluice'
$there = Join-Path $programs $name
$files = Get-ChildItem -Path (Join-Path $built '*') -Include 'sluiced.exe', 'sluice.exe', '*.dll'

# What is copied is what was built: looked at where nobody can change it any more.
$install = @"
New-Item -ItemType Directory -Path $(Get-Quoted $there) | Out-Null

"@
foreach ($file in $files) {
    $copy = Join-Path $there $file.Name
    $hash = (Get-FileHash -Algorithm SHA256 -Path $file.FullName).Hash
    $install += @"
Copy-Item -LiteralPath $(Get-Quoted $file.FullName) -Destination $(Get-Quoted $copy)
if ((Get-FileHash -Algorithm SHA256 -LiteralPath $(Get-Quoted $copy)).Hash -ne '$hash') {
    throw $(Get-Quoted "$($file.Name) is not what was built")
}

"@
}
$sluiced = Get-Quoted (Join-Path $there 'sluiced.exe')
$install += @"
& $sluiced service install --name $name --endpoint $name --allow $(Get-Quoted $Allow)
if (`$LASTEXITCODE -ne 0) { throw 'the service was not installed' }
& $sluiced service start --name $name
if (`$LASTEXITCODE -ne 0) { throw 'the service did not start' }
"@
$remove = @"
& $sluiced service stop --name $name
& $sluiced service uninstall --name $name
Remove-Item -Recurse -LiteralPath $(Get-Quoted $there)
if (-not (Get-ChildItem $(Get-Quoted $programs))) { Remove-Item $(Get-Quoted $programs) }
"@

try {
    Write-Output "2. The broker as a service in $there, for $Allow (Windows asks)."
    Invoke-Elevated $install
    Write-Output '3. The main job: hangtest through the broker.'
    Invoke-Checked (Join-Path $there 'sluice.exe') hangtest --endpoint $name `
        --workers $Workers --iterations $Iterations
}
finally {
    Write-Output '4. Stop, uninstall and remove (Windows asks again).'
    if (Test-Path $there) { Invoke-Elevated $remove }
}
$sluice = Join-Path $built 'sluice.exe'
Write-Output ''
Write-Output 'The disease itself, without the broker (it may get stuck, and says which thread is):'
Write-Output "  $sluice hangtest --via direct"
Write-Output "  $sluice hangtest --via direct --scenario mixed"
