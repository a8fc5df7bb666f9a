use std::io; use std::net::*; use std::path::*; use std::time::Duration;
#[derive(Clone,Copy,Debug,PartialEq,Eq,Hash,Default,PartialOrd,Ord)] pub struct FileId(u32);
#[derive(Clone,Copy,Debug,PartialEq,Eq,Hash,Default)] pub struct Span{pub file:FileId,pub start:u32,pub end:u32}
#[derive(Clone,Debug,PartialEq,Eq)] pub struct Token{pub text:String,pub span:Span,pub quoted:bool}
impl Token{pub fn as_str(&self)->&str{&self.text} pub fn parse<T:FromToken>(&self,what:&str)->Result<T,Diagnostic>{T::from_token(self).map_err(|e|Diagnostic::error(self.span,format!("{what}: {e}")))}}
#[derive(Clone,Debug,PartialEq,Eq)] pub struct Directive{pub name:Token,pub args:Vec<Token>,pub body:Option<Vec<Directive>>,pub span:Span,pub end:Span}
#[derive(Clone,Debug)] pub struct ServerBlock{pub keys:Vec<Token>,pub directives:Vec<Directive>,pub span:Span,pub braces:bool}
#[derive(Clone,Debug,Default)] pub struct Sources; 
#[derive(Clone,Debug,Default)] pub struct Corefile{pub blocks:Vec<ServerBlock>,pub sources:Sources}
impl Corefile{pub fn fingerprint_json(&self)->String{format!("{:?}",self.blocks)}}
pub trait Loader{fn read(&self,path:&Path)->io::Result<String>;fn glob(&self,p:&Path)->io::Result<Vec<PathBuf>>;fn env(&self,n:&str)->Option<String>;}
pub struct OsLoader; impl Loader for OsLoader{fn read(&self,p:&Path)->io::Result<String>{std::fs::read_to_string(p)} fn glob(&self,_:&Path)->io::Result<Vec<PathBuf>>{Ok(vec![])} fn env(&self,n:&str)->Option<String>{std::env::var(n).ok()}}
#[derive(Clone,Copy,Debug,PartialEq,Eq)] pub enum Severity{Error,Warning}
#[derive(Clone,Debug,PartialEq,Eq)] pub struct Diagnostic{pub severity:Severity,pub message:String,pub span:Option<Span>,pub label:String,pub help:Option<String>,pub notes:Vec<String>}
impl Diagnostic{pub fn error(s:Span,m:impl Into<String>)->Self{Self{severity:Severity::Error,message:m.into(),span:Some(s),label:String::new(),help:None,notes:vec![]}}
pub fn warning(s:Span,m:impl Into<String>)->Self{Self{severity:Severity::Warning,..Self::error(s,m)}}
#[must_use] pub fn label(mut self,l:impl Into<String>)->Self{self.label=l.into();self}
#[must_use] pub fn help(mut self,l:impl Into<String>)->Self{self.help=Some(l.into());self}
#[must_use] pub fn note(mut self,l:impl Into<String>)->Self{self.notes.push(l.into());self}}
#[derive(Clone,Debug,Default,PartialEq,Eq)] pub struct Diagnostics(pub Vec<Diagnostic>);
impl Diagnostics{pub fn push(&mut self,d:Diagnostic){self.0.push(d)} pub fn extend(&mut self,d:impl IntoIterator<Item=Diagnostic>){self.0.extend(d)} pub fn has_errors(&self)->bool{self.0.iter().any(|d|d.severity==Severity::Error)} pub fn is_empty(&self)->bool{self.0.is_empty()} pub fn iter(&self)->impl Iterator<Item=&Diagnostic>{self.0.iter()}}
impl From<Diagnostic> for Diagnostics{fn from(d:Diagnostic)->Self{Self(vec![d])}}
impl IntoIterator for Diagnostics{type Item=Diagnostic;type IntoIter=std::vec::IntoIter<Diagnostic>;fn into_iter(self)->Self::IntoIter{self.0.into_iter()}}
pub fn render(d:&Diagnostics,_:&Sources)->String{d.0.iter().map(|d|format!("{:?}: {}\n",d.severity,d.message)).collect()}
pub fn render_json(d:&Diagnostics,s:&Sources)->String{render(d,s)}
pub fn nearest<'a>(_:&str,_c:impl IntoIterator<Item=&'a str>)->Option<&'a str>{None}
pub struct NoFiles;
impl Directive{pub fn args(&self)->Args<'_>{Args{d:self,at:0}} pub fn options(&self)->&[Directive]{self.body.as_deref().unwrap_or(&[])} pub fn no_body(&self)->Result<(),Diagnostic>{if self.body.is_some(){Err(Diagnostic::error(self.span,format!("`{}` takes no block",self.name.text)))}else{Ok(())}} pub fn unknown_option(&self,o:&Directive,known:&[&str])->Diagnostic{Diagnostic::error(o.name.span,format!("unknown option `{}` of plugin `{}`",o.name.text,self.name.text)).note(format!("options: {}",known.join(", ")))}}
pub struct Args<'a>{d:&'a Directive,at:usize}
impl<'a> Args<'a>{pub fn next(&mut self)->Option<&'a Token>{let t=self.d.args.get(self.at);self.at+=1;t} pub fn peek(&self)->Option<&'a Token>{self.d.args.get(self.at)} pub fn remaining(&self)->&'a [Token]{&self.d.args[self.at.min(self.d.args.len())..]} pub fn required(&mut self,what:&str)->Result<&'a Token,Diagnostic>{self.next().ok_or_else(||Diagnostic::error(self.d.span,format!("`{}` needs an argument: {what}",self.d.name.text)))} pub fn value<T:FromToken>(&mut self,what:&str)->Result<T,Diagnostic>{self.required(what)?.parse(what)} pub fn optional<T:FromToken>(&mut self,what:&str)->Result<Option<T>,Diagnostic>{self.next().map(|t|t.parse(what)).transpose()} pub fn end(&mut self)->Result<(),Diagnostic>{match self.next(){None=>Ok(()),Some(t)=>Err(Diagnostic::error(t.span,format!("unexpected argument `{}`",t.text)))}}}
pub trait FromToken:Sized{fn from_token(t:&Token)->Result<Self,String>;}
macro_rules! ft{($($t:ty),*)=>{$(impl FromToken for $t{fn from_token(t:&Token)->Result<Self,String>{t.text.parse().map_err(|_|"bad value".into())}})*}}
ft!(String,bool,u8,u16,u32,u64,usize,i64,f64,IpAddr,SocketAddr);
impl FromToken for Duration{fn from_token(t:&Token)->Result<Self,String>{let s=&t.text;let n:String=s.chars().take_while(|c|c.is_ascii_digit()).collect();let v:u64=n.parse().map_err(|_|"expected a duration".to_string())?;Ok(match &s[n.len()..]{"ms"=>Self::from_millis(v),"s"|""=>Self::from_secs(v),"m"=>Self::from_secs(v*60),"h"=>Self::from_secs(v*3600),_=>return Err("expected a duration".into())})}}
#[derive(Clone,Copy,Debug,PartialEq,Eq)] pub struct Seconds(pub Duration); impl FromToken for Seconds{fn from_token(t:&Token)->Result<Self,String>{Duration::from_token(t).map(Seconds)}}
#[derive(Clone,Copy,Debug,PartialEq,Eq)] pub struct Percent(pub u8); impl FromToken for Percent{fn from_token(t:&Token)->Result<Self,String>{t.text.trim_end_matches('%').parse().map(Percent).map_err(|_|"bad".into())}}
#[derive(Clone,Copy,Debug,PartialEq,Eq)] pub struct Cidr{pub addr:IpAddr,pub prefix:u8}
impl FromToken for Cidr{fn from_token(t:&Token)->Result<Self,String>{let (a,p)=t.text.split_once('/').unwrap_or((&t.text,""));let addr:IpAddr=a.parse().map_err(|_|"bad".to_string())?;Ok(Self{addr,prefix:if p.is_empty(){if addr.is_ipv4(){32}else{128}}else{p.parse().map_err(|_|"bad".to_string())?}})}}
impl Cidr{pub fn contains(&self,ip:IpAddr)->bool{ip==self.addr}}

fn lex(t:&str)->Vec<(String,u32,u32,u32,bool)>{ let b=t.as_bytes(); let mut v=vec![]; let mut i=0; let mut line=1u32;
 while i<b.len(){ match b[i]{ b'\n'=>{line+=1;i+=1} c if c.is_ascii_whitespace()=>i+=1, b'#'=>{while i<b.len()&&b[i]!=b'\n'{i+=1}}
  b'"'=>{let st=i;let l=line;i+=1;let mut o=vec![];while i<b.len()&&b[i]!=b'"'{if b[i]==b'\\'&&i+1<b.len()&&b[i+1]==b'"'{i+=1}if b[i]==b'\n'{line+=1}o.push(b[i]);i+=1}i+=1;v.push((String::from_utf8_lossy(&o).into_owned(),st as u32,i.min(b.len()) as u32,l,true))}
  _=>{let st=i;while i<b.len()&&!b[i].is_ascii_whitespace()&&b[i]!=b'#'{i+=1}v.push((t[st..i].to_string(),st as u32,i as u32,line,false))}}} v}
pub fn parse(_:&str,text:&str,loader:&dyn Loader)->(Corefile,Diagnostics){ let mut c=Corefile::default(); let toks=lex(text); let tk=|x:&(String,u32,u32,u32,bool)|{let mut s=x.0.clone();while let Some(a)=s.find("{$"){if let Some(e)=s[a..].find('}'){let n=s[a+2..a+e].to_string();s.replace_range(a..a+e+1,&loader.env(&n).unwrap_or_default())}else{break}}Token{text:s,span:Span{file:FileId(0),start:x.1,end:x.2},quoted:x.4}};
 let mut i=0;
 fn body(toks:&[(String,u32,u32,u32,bool)],i:&mut usize,tk:&dyn Fn(&(String,u32,u32,u32,bool))->Token)->Vec<Directive>{let mut out=vec![];while *i<toks.len()&&toks[*i].0!="}"{let line=toks[*i].3;let name=tk(&toks[*i]);*i+=1;let mut args=vec![];let mut b=None;while *i<toks.len()&&toks[*i].3==line&&toks[*i].0!="}"{if toks[*i].0=="{"&&!toks[*i].4{*i+=1;b=Some(body(toks,i,tk));*i+=1;break}args.push(tk(&toks[*i]));*i+=1}let span=Span{file:FileId(0),start:name.span.start,end:args.last().map_or(name.span.end,|a|a.span.end)};out.push(Directive{name,args,body:b,span,end:span})}out}
 while i<toks.len(){let mut keys=vec![];let st=toks[i].1;while i<toks.len()&&toks[i].0!="{"{let mut t=tk(&toks[i]);if t.text.ends_with(','){t.text.pop();}keys.push(t);i+=1}i+=1;let ds=body(&toks,&mut i,&tk);i+=1;c.blocks.push(ServerBlock{keys,directives:ds,span:Span{file:FileId(0),start:st,end:st+1},braces:true})}
 (c,Diagnostics::default())}
